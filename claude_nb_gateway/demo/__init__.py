"""A stand-in for the model: it works without a login."""
