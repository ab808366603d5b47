"""How fast the gateway is, beside the CLI alone and beside a peer: `make bench`."""
