"""The root of derived keys: SECRET_KEY, or outside production one that is made once and kept beside the data."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from promptforge.core.errors import ConfigurationError
from promptforge.deploy.settings import Settings

FILE = "secret.key"


def secret_keys(settings: Settings) -> tuple[str, ...]:
    """The first one seals, each of them opens. Raises `ConfigurationError` where the file cannot be read or made."""
    if settings.secret_key:
        return tuple(secret.get_secret_value() for secret in settings.secret_key)
    path = settings.data_dir / FILE
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        _make(path)
        return (path.read_text(encoding="ascii").strip(),)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the development key {path} cannot be used: {type(error).__name__}") from None


def _make(path: Path) -> None:
    """Write a fresh key for the owner's eyes only, unless another process was faster."""
    if path.exists():
        return
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    fresh.touch(mode=0o600)
    try:
        fresh.write_text(secrets.token_urlsafe(32), encoding="ascii")
        os.link(fresh, path)
    except FileExistsError:
        return
    finally:
        fresh.unlink()
