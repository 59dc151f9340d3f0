"""Who is asking: token verification by firebase-admin, development tokens, and the principal cache."""

from promptforge.core.identity.development import DevelopmentVerifier, mint
from promptforge.core.identity.principals import NOBODY, Asker, Principals
from promptforge.core.identity.tokens import Claims, IdentityUnavailable, InvalidToken, TokenVerifier

__all__ = [
    "NOBODY",
    "Asker",
    "Claims",
    "DevelopmentVerifier",
    "IdentityUnavailable",
    "InvalidToken",
    "Principals",
    "TokenVerifier",
    "mint",
]
