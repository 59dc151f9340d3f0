"""What stands between double braces: variables with types, includes of other prompts, and rendering."""
