"""The customer that each user is at Stripe: one, whatever they buy."""
