"""Prompts on their way into packages and out of them."""
