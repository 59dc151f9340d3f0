"""The runtime: messages, actors, MongoDB, jobs, identity. It knows no feature."""
