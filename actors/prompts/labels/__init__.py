"""Labels: names that point to versions, and the history of their moves."""
