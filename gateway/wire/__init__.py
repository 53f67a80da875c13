"""Shapes: requests, answers and records, and how they become bytes and come back."""
