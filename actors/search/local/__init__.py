"""The search engine in this process: an index of words and one of meanings, both in memory."""
