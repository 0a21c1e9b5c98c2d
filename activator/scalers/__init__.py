"""Where replicas run: one module a place, all of them kept to one contract."""
