"""Top-ups in the ledger: bought, and taken back when their charge is refunded or disputed."""
