"""One turn of a conversation: ask it, follow it, and enforce its rules."""
