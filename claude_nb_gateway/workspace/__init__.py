"""Projects, their directories and their sessions."""
