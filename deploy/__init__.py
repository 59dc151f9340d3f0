"""What an operator runs: settings, process wiring, the server and the command line."""
