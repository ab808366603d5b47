"""The commands of `jupyter claude-gateway` that need no server."""
