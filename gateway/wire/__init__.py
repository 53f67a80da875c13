"""Bytes: the only room that knows how requests, answers and records are encoded."""
