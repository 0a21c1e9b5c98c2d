"""Where services come from, and what is known of each of their revisions."""
