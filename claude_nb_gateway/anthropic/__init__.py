"""Anthropic's Messages API: its objects, and pure translation both ways."""
