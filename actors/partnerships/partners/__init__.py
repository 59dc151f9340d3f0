"""Applications, decisions, and what a partner is to the rest of the service."""
