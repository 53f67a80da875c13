"""The demo: a small business with four kinds of customers, and a real hour of LLM requests."""
