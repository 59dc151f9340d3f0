"""How refunds stand, as buyers see it."""
