"""Everything that is held of a person, in one file for them."""
