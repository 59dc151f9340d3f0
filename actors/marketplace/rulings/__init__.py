"""What moderators decided against somebody, who can appeal it once."""
