"""Programs that load or answer in ways that wrk and nginx do not; each is run as a process of its own."""
