"""`%%claude` for IPython: a client of the gateway like any other."""
