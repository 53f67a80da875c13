"""Fraud: lists, velocity counters, rule sets, models."""
