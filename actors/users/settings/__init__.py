"""What each person has set for themselves."""
