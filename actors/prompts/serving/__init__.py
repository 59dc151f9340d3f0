"""Serving prompts to programs: compiled, cached in every process, and never stale for longer than the change stream."""
