"""IPython magics, which speak to the gateway as any client does."""
