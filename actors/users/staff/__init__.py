"""What administrators see of people, and how they keep somebody from doing more."""
