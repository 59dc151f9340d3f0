"""Buying credit packs: the checkout document, from its idempotency key to the credits."""
