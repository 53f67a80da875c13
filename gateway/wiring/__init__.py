"""The only place where concrete things are built and joined."""
