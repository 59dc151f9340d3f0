"""What is found of listings."""
