"""What is found of packages."""
