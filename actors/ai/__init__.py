"""Language models: which there are, and what they help with."""
