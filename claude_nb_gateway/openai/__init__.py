"""OpenAI's wire: its types, and pure translation from and to Claude's terms."""
