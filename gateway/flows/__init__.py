"""Use cases, one a file: straight lines of awaits from a decoded message to an answer."""
