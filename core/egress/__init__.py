"""Requests to addresses that users name: to the public internet only, whatever a name resolves to."""

from promptforge.core.egress.client import Answer, Outward, Problem
from promptforge.core.egress.urls import UrlPolicy, UrlRefused

__all__ = ["Answer", "Outward", "Problem", "UrlPolicy", "UrlRefused"]
