"""Durable truth in SQL: the writer turns records into balanced postings, readers explain them."""
