"""Taking prompts in from elsewhere, and giving them out whole."""
