"""What runs took, added up by prompt and by user."""
