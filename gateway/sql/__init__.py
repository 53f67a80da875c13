"""Engines and migrations, shared by catalog and ledger; they know tables, this knows databases."""
