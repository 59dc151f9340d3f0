"""Budgets: credits that somebody sets aside for what others run."""
