"""Production identity: real RS256 tokens, verified by firebase-admin against certificates from a loopback server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from firebase_admin import auth
from google.auth import crypt, jwt

from promptforge.core.errors import ConfigurationError
from promptforge.core.identity import IdentityUnavailable, InvalidToken, mint
from promptforge.core.identity.firebase import FirebaseVerifier
from promptforge.core.identity.tokens import ExpiredToken
from promptforge.core.principal import Role

pytestmark = pytest.mark.anyio
PROJECT = "pf-test"


class Key:
    """A signing key and its certificate."""

    def __init__(self) -> None:
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

    def token(self, *, kid: str = "one", **changes: Any) -> str:
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": f"https://securetoken.google.com/{PROJECT}",
            "aud": PROJECT,
            "sub": "carla",
            "iat": now - 5,
            "exp": now + 600,
            "roles": ["seller"],
            **changes,
        }
        signer = crypt.RSASigner.from_string(self.pem, kid)  # type: ignore[no-untyped-call]  # google-auth has no types
        made: bytes = jwt.encode(signer, claims)  # type: ignore[no-untyped-call]
        return made.decode()


@pytest.fixture(scope="module")
def key() -> Key:
    return Key()


class Source:
    """Where the certificates come from."""

    def __init__(self) -> None:
        self.certificates: dict[str, str] = {}
        self.down = False
        self.url = ""


@pytest.fixture
def source(key: Key) -> Iterator[Source]:
    source = Source()
    source.certificates["one"] = key.certificate

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(source.certificates).encode()
            self.send_response(500 if source.down else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    source.url = f"http://127.0.0.1:{server.server_address[1]}/"
    yield source
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def verifier(tmp_path: Path, key: Key, source: Source) -> Iterator[FirebaseVerifier]:
    account = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key": key.pem,
        "client_email": "test@example.com",
        "token_uri": source.url,
    }
    file = tmp_path / "account.json"
    file.write_text(json.dumps(account))
    verifier = FirebaseVerifier(PROJECT, credentials_file=file)
    auth._get_client(verifier._app)._token_verifier.id_token_verifier.cert_url = source.url
    yield verifier
    verifier.close()


async def test_a_token_signed_by_a_known_key_is_verified(verifier: FirebaseVerifier, key: Key) -> None:
    claims = await verifier.verify(key.token())
    assert claims.uid == "carla"
    assert claims.roles == {Role.USER, Role.SELLER}


async def test_an_expired_token_is_expired(verifier: FirebaseVerifier, key: Key) -> None:
    with pytest.raises(ExpiredToken):
        await verifier.verify(key.token(exp=int(time.time()) - 60, iat=int(time.time()) - 600))


async def test_whatever_is_wrong_with_a_token_it_is_invalid(verifier: FirebaseVerifier, key: Key) -> None:
    head, body, signature = key.token().split(".")
    for token in (
        key.token(aud="another"),
        key.token(iss="https://example.com"),
        key.token(sub=""),
        key.token(sub=5),
        key.token(kid="unknown"),
        Key().token(),
        mint("carla", project_id=PROJECT),
        f"{head}.{body}.{signature[:-8]}AAAAAAAA",
        f"{head}.{body}.",
        "",
        "a.b.c",
        "é",
    ):
        with pytest.raises(InvalidToken):
            await verifier.verify(token)


async def test_keys_that_cannot_be_fetched_are_an_outage_and_no_verdict(
    verifier: FirebaseVerifier, key: Key, source: Source
) -> None:
    source.down = True
    with pytest.raises(IdentityUnavailable) as refused:
        await verifier.verify(key.token())
    assert refused.value.retryable


async def test_without_credentials_there_is_no_production_identity(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="GOOGLE_APPLICATION_CREDENTIALS"):
        FirebaseVerifier(PROJECT)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        FirebaseVerifier(PROJECT, credentials_file=tmp_path / "nothing.json")
