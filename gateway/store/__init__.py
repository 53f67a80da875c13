"""The hot state: the only room that knows Redis; README.md in this directory describes it."""
