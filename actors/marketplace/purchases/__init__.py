"""Purchases: a sale in one transaction, and what the buyer owns afterwards."""
