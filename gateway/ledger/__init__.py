"""The ledger in SQL: the writer turns records into balanced postings, readers query them."""
