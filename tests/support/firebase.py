"""The auth emulator of Firebase as a process, and what people and administrators do with it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from promptforge.core.principal import Role
from tests.support.node_tools import TOOLS, node_tools

PROJECT = "demo-identity"
PASSWORD = "correct horse"
_API = "/identitytoolkit.googleapis.com/v1"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """An account and the ID token of one session."""

    uid: str
    email: str
    token: str


class AuthEmulator:
    """Speaks to a running emulator: `sign_up` and `sign_in` as a browser, the rest as an administrator."""

    def __init__(self, host: str, client: httpx.Client) -> None:
        self.host = host
        self._client = client

    def sign_up(self, email: str) -> SignedIn:
        return self._session("signUp", email)

    def sign_in(self, email: str) -> SignedIn:
        return self._session("signInWithPassword", email)

    def _session(self, how: str, email: str) -> SignedIn:
        answer = self._client.post(
            f"{_API}/accounts:{how}?key=any",
            json={"email": email, "password": PASSWORD, "returnSecureToken": True},
        ).raise_for_status()
        said = answer.json()
        return SignedIn(said["localId"], said["email"], said["idToken"])

    def set_roles(self, uid: str, *roles: Role) -> None:
        """Custom claims; they are in the tokens of later sign-ins."""
        self.set_claims(uid, roles=[role.value for role in roles])

    def set_claims(self, uid: str, **claims: Any) -> None:
        self._update(uid, customAttributes=json.dumps(claims))

    def claims(self, uid: str) -> dict[str, Any]:
        """The custom claims as they are kept."""
        found = self._administer("lookup", localId=[uid])["users"][0]
        claims: dict[str, Any] = json.loads(found.get("customAttributes") or "{}")
        return claims

    def disable(self, uid: str) -> None:
        self._update(uid, disableUser=True)

    def enable(self, uid: str) -> None:
        self._update(uid, disableUser=False)

    def revoke(self, uid: str) -> None:
        """End every session. Firebase counts in seconds, so this waits for the one after the last sign-in's."""
        time.sleep(1.0 - time.time() % 1.0)
        self._update(uid, validSince=str(int(time.time())))

    def delete(self, uid: str) -> None:
        self._administer("delete", localId=uid)

    def _update(self, uid: str, **fields: Any) -> None:
        self._administer("update", localId=uid, **fields)

    def _administer(self, what: str, **fields: Any) -> Any:  # Any: JSON
        path, headers = f"{_API}/projects/{PROJECT}/accounts:{what}", {"Authorization": "Bearer owner"}
        return self._client.post(path, json=fields, headers=headers).raise_for_status().json()


@contextmanager
def auth_emulator() -> Iterator[AuthEmulator]:
    """Start the emulator on a free loopback port and stop it in the end. Raises `NotInstalled`."""
    tools = node_tools("firebase")
    command: Sequence[str] = [tools.node, str(TOOLS / "firebase" / "auth-emulator.cjs"), PROJECT]
    with subprocess.Popen(
        command,
        env={"PATH": "/usr/bin:/bin", "NODE_PATH": str(tools.modules)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline().split()
            assert said[:1] == ["port"], "the auth emulator did not start; its error output says why"
            host = f"127.0.0.1:{said[1]}"
            with httpx.Client(base_url=f"http://{host}", timeout=30) as client:
                yield AuthEmulator(host, client)
        finally:
            process.terminate()
