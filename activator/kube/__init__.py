"""The Kubernetes API as plain JSON: a client, watches that survive, and the objects as they are now."""
