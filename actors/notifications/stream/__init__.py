"""What somebody is told, as it happens."""
