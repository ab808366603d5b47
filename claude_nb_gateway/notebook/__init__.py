"""IPython magics. They call the gateway over HTTP, like any client."""
