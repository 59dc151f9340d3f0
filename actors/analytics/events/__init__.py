"""Events that people's own programs tell of: taken in batches, each once."""
