"""Rule sets and models on past decisions."""
