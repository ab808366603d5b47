"""Measures the gateway, the CLI alone and another gateway: `make bench`."""
