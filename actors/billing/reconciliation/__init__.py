"""Comparing Stripe with what is known here, and applying what never arrived."""
