"""The features, one folder each; they know core, and of each other only the messages."""
