"""Fraud rules: a leaf package. It imports nothing of the gateway; flows give it facts."""
