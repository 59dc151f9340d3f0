"""A Stripe for development and tests: its API, its events and what goes wrong with both, without money or a network."""
