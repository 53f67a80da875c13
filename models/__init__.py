"""The fraud model: a leaf package. It imports nothing of the gateway; flows use both."""
