"""The processes there are, and who gets which."""
