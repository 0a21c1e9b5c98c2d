"""Who gets which share of a service's traffic, and why: canary steps, the guard, and what both revisions need."""
