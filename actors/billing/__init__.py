"""Credits: the ledger, the packs people buy, and what Stripe tells about it."""
