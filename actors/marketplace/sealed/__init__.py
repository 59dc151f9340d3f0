"""Runs without reveal: a sealed prompt is run for whoever bought runs of it or tries it, and its text stays sealed."""
