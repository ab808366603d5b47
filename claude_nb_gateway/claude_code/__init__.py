"""The Claude Code CLI: its processes, its sessions, and what it says."""
