"""Observability: the hooks that flows call, and the metrics that implement them."""
