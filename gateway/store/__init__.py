"""The hot state: the only room that knows Redis. See README.md beside this file."""
