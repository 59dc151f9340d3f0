"""Where a seller's money goes: their connected account at Stripe, and how it stands."""
