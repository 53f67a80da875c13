"""What is wrong with a model."""

from __future__ import annotations


class ModelError(ValueError):
    """A model that is not taken, and why: the one before stays."""
