"""The Claude Code CLI: its command line, protocol, processes and sessions."""
