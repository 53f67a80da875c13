"""Fraud rules: a leaf package. It imports nothing of the gateway; they meet in flows, in facts."""
