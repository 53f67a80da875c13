"""Answers by domain: one struct each, and how it is made from what a use case returns."""
