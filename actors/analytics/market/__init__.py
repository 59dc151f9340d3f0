"""Figures of the whole market: what the ledger says, by day."""
