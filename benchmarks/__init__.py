"""Measurements of the edge: CPU per proxied request beside its peers, cold starts, the cost of a decision."""
