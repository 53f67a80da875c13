"""Errors of models."""

from __future__ import annotations


class ModelError(ValueError):
    """A model is refused, with the reason; the previous one remains in force."""
