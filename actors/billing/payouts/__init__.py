"""Paying sellers out: from the request to a transfer at Stripe, or back to credits."""
