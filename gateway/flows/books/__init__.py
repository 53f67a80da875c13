"""Records of decisions in the ledger, and reports of the books."""
