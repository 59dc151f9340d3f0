"""How listings do: views by day, ranks for browsing, and the dashboard of a seller."""
