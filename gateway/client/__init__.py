"""The Python SDK: what a frontend calls before and after it serves a request."""

from gateway.client.client import Denied, Problem, Spendgate

__all__ = ["Denied", "Problem", "Spendgate"]
