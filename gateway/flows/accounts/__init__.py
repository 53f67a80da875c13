"""Orgs, members, limits, prices, funds and credentials."""
