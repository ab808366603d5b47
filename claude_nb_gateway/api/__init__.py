"""HTTP: what each URL does with a request."""
