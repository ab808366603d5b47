"""A stand-in of the model, for whoever has no login."""
