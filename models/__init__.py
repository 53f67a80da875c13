"""The fraud model: a leaf package. It imports nothing of the gateway; they meet in flows."""
