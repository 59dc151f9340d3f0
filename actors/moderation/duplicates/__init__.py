"""Near-duplicates: texts that are, in words or in meaning, what was approved for somebody before."""
