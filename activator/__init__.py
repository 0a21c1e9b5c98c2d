"""The control plane: decides how many replicas each revision needs, and makes it so."""
