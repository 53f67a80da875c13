"""Decisions about money: authorize, holds, stand-in approvals."""
