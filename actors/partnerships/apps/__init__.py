"""Programs of partners: their client credentials, and the tokens that they get for them."""
