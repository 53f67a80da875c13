"""Slow-changing truth in SQL: who customers are and what was agreed with them."""
