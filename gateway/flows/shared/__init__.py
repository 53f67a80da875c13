"""Helpers of several rooms."""
