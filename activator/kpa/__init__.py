"""Knative's pod autoscaler as a pure function: no clock, no I/O, no logger, no event loop."""
