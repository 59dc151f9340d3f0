"""Sales in the ledger: charged, refunded, settled."""
