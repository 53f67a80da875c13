"""Engines and migrations shared by catalog and ledger: databases here, tables there."""
