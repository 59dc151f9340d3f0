"""API keys: how programs sign in as the people who made the keys."""
