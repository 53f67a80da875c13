"""The decision, pure: no I/O, no clock, no chance, no async. See README.md beside this file."""
