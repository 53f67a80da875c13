"""The only room that knows aiohttp: it turns requests into calls of flows and back."""
