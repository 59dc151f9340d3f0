"""Taking packages into projects."""
