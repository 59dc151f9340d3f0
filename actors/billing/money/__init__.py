"""The ledger of real money: a journal for each balance transaction at Stripe, and the daily comparison."""
