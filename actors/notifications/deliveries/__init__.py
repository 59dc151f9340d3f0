"""What is to be sent outside this service, each piece recorded once."""
