"""Which channels carry what, as each person has chosen."""
