"""The ledger, read by features that add it up or export it."""
