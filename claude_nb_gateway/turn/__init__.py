"""One turn of a conversation: it is asked, followed, and held to its rules."""
