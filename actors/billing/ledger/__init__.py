"""The double-entry ledger of credits: journals, legs, and the balances folded from them."""
