"""Past decisions: list, show, replay, label, review."""
