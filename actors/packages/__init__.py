"""Packages: versions of prompts with what they include, and datasets, as signed files that never change."""
