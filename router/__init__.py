"""The data plane: holds, counts, admits and relays HTTP requests; knows nothing of who scales the models."""
