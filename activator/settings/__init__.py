"""The configuration file: what may be in it, and how it is loaded."""
