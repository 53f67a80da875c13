"""What the ledger knows of decisions, and reports."""
