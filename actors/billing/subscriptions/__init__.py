"""Subscriptions: plans with monthly credits, the Stripe customer of each user, and the billing portal."""
