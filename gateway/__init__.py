"""spendgate: a real-time spend control and fraud gateway. See gateway/README.md."""

__version__ = "0.1.0"
