"""What this feature asks of Stripe: an interface, and the real thing."""
