"""What stands between a person and the end of their account, as far as money goes."""
