"""What production asks of Google, on a loopback port (certificates and accounts), and real RS256 tokens."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from firebase_admin import auth
from google.auth import crypt, jwt

from promptforge.core.identity.certificates import Certificates
from promptforge.core.identity.firebase import FirebaseVerifier

PROJECT = "pf-test"


class SigningKey:
    """A key as Firebase signs with, and its certificate."""

    def __init__(self, key_id: str) -> None:
        self.id = key_id
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(private.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(private, hashes.SHA256())
        )
        self.pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM).decode()

    def token(self, uid: str = "carla", *, key_id: str | None = None, **changes: Any) -> str:
        """An ID token, good unless `changes` to its claims or another key id spoil it."""
        signer = crypt.RSASigner.from_string(self.pem, key_id or self.id)  # type: ignore[no-untyped-call]  # google-auth has no types
        made: bytes = jwt.encode(signer, claims_of(uid) | changes)  # type: ignore[no-untyped-call]
        return made.decode()


def claims_of(uid: str) -> dict[str, Any]:
    """What a good token says."""
    now = int(time.time())
    return {
        "iss": f"https://securetoken.google.com/{PROJECT}",
        "aud": PROJECT,
        "sub": uid,
        "iat": now - 5,
        "exp": now + 600,
        "email": f"{uid}@example.com",
        "roles": ["seller"],
    }


class Google:
    """What it answers, to be changed by a test; `fetches` counts how often the certificates were asked for.

    Accounts are there as soon as they are asked for: `accounts` holds what is special about some.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.certificates: dict[str, str] = {}
        self.max_age_seconds = 3600
        self.down = False
        self.fetches = 0
        self.accounts: dict[str, dict[str, Any] | None] = {}
        self.look_up_status = 200
        self.hold_look_ups: threading.Event | None = None
        """What every look-up waits for."""
        self.look_ups: list[str] = []
        self.held = threading.Event()
        """Set once `hold` keeps an update waiting."""
        self.hold: threading.Event | None = None
        """What the next update waits for, before it counts."""
        self.updates: list[dict[str, Any]] = []
        """Custom claims, in the order in which they came to count."""

    def serve(self, *keys: SigningKey) -> None:
        """Publish the certificates of these keys, and no others."""
        self.certificates = {key.id: key.certificate for key in keys}

    def answer(self, path: str, body: bytes) -> tuple[int, object]:
        if path == "/certificates":
            self.fetches += 1
            return (500, {}) if self.down else (200, self.certificates)
        if path.endswith(":update"):
            return self._update(**json.loads(body))
        uid = json.loads(body)["localId"][0]
        self.look_ups.append(uid)
        if self.hold_look_ups is not None:
            self.hold_look_ups.wait(60)
        if self.look_up_status != 200:
            return self.look_up_status, {"error": {"message": "no"}}
        account = self.accounts.get(uid, {})
        return 200, {} if account is None else {"users": [{"localId": uid, **account}]}

    def _update(self, localId: str, customAttributes: str) -> tuple[int, object]:  # noqa: N803  # Google's names
        hold, self.hold = self.hold, None
        if hold is not None:
            self.held.set()
            hold.wait(20)
        self.accounts[localId] = {**(self.accounts.get(localId) or {}), "customAttributes": customAttributes}
        self.updates.append(json.loads(customAttributes))
        return 200, {"localId": localId}


@contextmanager
def google() -> Iterator[Google]:
    """Google, as far as production asks it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            status, said = stand_in.answer(self.path, self.rfile.read(length))
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "application/json")
            self.send_header("Cache-Control", f"public, max-age={stand_in.max_age_seconds}, must-revalidate")
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stand_in = Google(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def production_verifier(google: Google, account: SigningKey, folder: Path, clock: Clock) -> Iterator[FirebaseVerifier]:
    """firebase-admin as in production, with a service account, except that this is its Google."""
    file = folder / "account.json"
    file.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": PROJECT,
                "private_key": account.pem,
                "client_email": "test@example.com",
                "token_uri": google.url,
                "universe_domain": "loopback.test",  # else google-auth asks the real Google where it may send requests
            }
        )
    )
    certificates = Certificates(f"{google.url}/certificates", now=clock)
    verifier = FirebaseVerifier(PROJECT, credentials_file=file, certificates=certificates)
    auth._get_client(verifier._app)._user_manager.base_url = f"{google.url}/accounts"
    try:
        yield verifier
    finally:
        verifier.close()
