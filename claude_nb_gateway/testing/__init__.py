"""A loopback stand-in for the model, and pytest fixtures around the real CLI."""
