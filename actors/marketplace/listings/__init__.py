"""Listings: from draft through review to the market, and off it again."""
