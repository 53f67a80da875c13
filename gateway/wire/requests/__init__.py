"""Request bodies by domain: one struct each, checked while it is decoded."""
