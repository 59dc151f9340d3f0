"""The headers that tell browsers what not to do with an answer: on all of them, those of refused connections too."""

from __future__ import annotations

from promptforge.http.problems import Headers

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),  # pages elsewhere embed nothing; CORS is asked for, and granted
)
_HTTPS_ONLY = (b"strict-transport-security", b"max-age=31536000")
_UNLESS_SET = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_SETTABLE = frozenset(name for name, _ in _UNLESS_SET)


def always(*, https_only: bool) -> tuple[tuple[bytes, bytes], ...]:
    """What each answer has; `https_only` tells browsers to come by HTTPS only, for a year."""
    return (*_ALWAYS, _HTTPS_ONLY) if https_only else _ALWAYS


def add_unless_set(headers: Headers) -> None:
    """What each answer has that does not say otherwise."""
    own = [name for name, _ in headers if name in _SETTABLE]
    headers.extend([header for header in _UNLESS_SET if header[0] not in own] if own else _UNLESS_SET)
