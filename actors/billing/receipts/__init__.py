"""Receipts: what each payment was for, its tax, its invoice, and what of it was given back."""
