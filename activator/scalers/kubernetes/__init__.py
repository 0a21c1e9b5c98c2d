"""Replicas as the pods of a Deployment: the cluster starts, restarts and places them; we say how many, and which go."""
