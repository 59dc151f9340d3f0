"""Unsubscribe links: who they are of and what they are about is in them, under a key that only this service has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from promptforge.core.signing import Signer

_PURPOSE = b"promptforge unsubscribe v1"


@dataclass(frozen=True, slots=True)
class Subscription:
    user_id: str
    kind: str


class Links:
    """With each of the `secrets` a link stays good: links are in mails for years."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._signer = Signer(secrets, purpose=_PURPOSE)

    def token(self, subscription: Subscription) -> str:
        return self._signer.token(f"{subscription.user_id}\n{subscription.kind}")

    def read(self, token: str) -> Subscription | None:
        """None for what this service did not sign."""
        said = self._signer.read(token)
        if said is None:
            return None
        user_id, _, kind = said.partition("\n")
        return Subscription(user_id, kind)
