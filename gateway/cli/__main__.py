"""`python -m gateway.cli` is `spendgate`."""

from gateway.cli import main

main()
