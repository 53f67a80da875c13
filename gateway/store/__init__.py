"""The hot state: the only room that knows what Redis stores, and how; see README.md."""
