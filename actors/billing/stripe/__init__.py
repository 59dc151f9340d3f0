"""What this feature asks of Stripe: an interface, the real thing, and one that needs no network."""
