"""Payouts in the ledger: reserved, sent or given back."""
