"""The pure decision, with no I/O, clock, chance or async; README.md in this directory has a map."""
