"""OpenAI's chat completions, and the older completions."""
