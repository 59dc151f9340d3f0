"""Help with writing prompts, from a language model."""
