"""Roles: who has which, who decided that and why, and what Firebase is told of it."""
