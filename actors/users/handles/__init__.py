"""Handles: who has which, who had it, and which of them look alike."""
