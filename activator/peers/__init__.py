"""Several processes that serve as one edge: their messages, who owns admission, and who asks for it."""
