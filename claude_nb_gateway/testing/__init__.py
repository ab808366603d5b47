"""pytest fixtures, and a real gateway for tests, with a stand-in for the model."""
