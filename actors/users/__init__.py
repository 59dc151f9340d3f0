"""People: sign-in identities and profiles."""
