"""Secrets that stand in a text: keys as their providers document them, and what looks like nothing else.

Each pattern begins with what only such a key begins with, and takes time in proportion to the text: there is no
repetition inside a repetition. A finding tells the kind and the place, and quotes nothing.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from promptforge.actors.moderation.checks.messages import Check, Finding, Severity
from promptforge.actors.moderation.checks.passages import Passage


@dataclass(frozen=True, slots=True)
class Pattern:
    code: str
    name: str
    expression: re.Pattern[str]
    severity: Severity = Severity.HIGH


def _pattern(code: str, name: str, expression: str, severity: Severity = Severity.HIGH) -> Pattern:
    return Pattern(code, name, re.compile(rf"(?<![A-Za-z0-9_])(?:{expression})(?![A-Za-z0-9])"), severity)


PATTERNS: tuple[Pattern, ...] = (
    _pattern("private_key", "a private key", r"-----BEGIN (?:[A-Z]{2,9} ){0,2}PRIVATE KEY(?: BLOCK)?-----"),
    _pattern("anthropic_key", "a key of Anthropic", r"sk-ant-[A-Za-z0-9_-]{24,200}"),
    _pattern("openai_key", "a key of OpenAI", r"sk-(?!ant-)(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,200}"),
    _pattern("aws_key", "an access key of AWS", r"(?:AKIA|ASIA)[A-Z2-7]{16}"),
    _pattern("google_key", "a key of Google", r"AIza[A-Za-z0-9_-]{35}"),
    _pattern("github_token", "a token of GitHub", r"gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{60,255}"),
    _pattern("gitlab_token", "a token of GitLab", r"gl(?:pat|ptt|dt|rt)-[A-Za-z0-9_-]{20,64}"),
    _pattern("slack_token", "a token of Slack", r"xox[abeprs]-[A-Za-z0-9-]{10,200}"),
    _pattern("stripe_key", "a key of Stripe", r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,200}"),
    _pattern("webhook_secret", "a secret of webhooks", r"whsec_[A-Za-z0-9+/=]{24,100}"),
    _pattern("sendgrid_key", "a key of SendGrid", r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}"),
    _pattern("twilio_key", "a key of Twilio", r"SK[0-9a-f]{32}"),
    _pattern("huggingface_token", "a token of Hugging Face", r"hf_[A-Za-z0-9]{30,64}"),
    _pattern("npm_token", "a token of npm", r"npm_[A-Za-z0-9]{36}"),
    _pattern("pypi_token", "a token of PyPI", r"pypi-[A-Za-z0-9_-]{50,300}"),
    _pattern("telegram_token", "a token of a Telegram bot", r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}"),
    _pattern("promptforge_key", "an API key of this service", r"pfk?_(?:live_)?[A-Za-z0-9]{32,64}"),
    _pattern("jwt", "a signed token (JWT)", r"eyJ[\w-]{8,2000}\.eyJ[\w-]{8,4000}\.[\w-]{16,1000}"),
    _pattern("url_password", "a password in an address", r"[a-z]{2,20}://[^\s/:@{}]{1,100}:[^\s/:@{}]{3,100}(?=@)"),
)
_TOKEN = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{32,256}={0,2}(?![A-Za-z0-9+/_=-])")
LEAST_BITS = 4.2
"""Shannon's entropy of a character. Words run together have below 4, random base 64 of 32 characters about 4.6."""


def find_secrets(passage: Passage) -> Iterator[Finding]:
    """Each place once, under the first kind that fits."""
    taken: list[tuple[int, int]] = []
    for pattern in PATTERNS:
        for match in pattern.expression.finditer(passage.text):
            if _is_free(match.span(), taken):
                taken.append(match.span())
                where, detail = passage.where(match.start()), f"This looks like {pattern.name}"
                yield Finding(Check.SECRETS, pattern.severity, pattern.code, detail, where)
    for match in _TOKEN.finditer(passage.text):
        if _is_free(match.span(), taken) and looks_random(match[0]):
            detail = "A long string that looks random: a key or a password, perhaps"
            yield Finding(Check.SECRETS, Severity.MEDIUM, "random_string", detail, passage.where(match.start()))


def looks_random(token: str) -> bool:
    """Hashes in hexadecimal are no secrets as a rule, and have at most 4 bits a character."""
    kinds = (any(map(str.islower, token)), any(map(str.isupper, token)), any(map(str.isdigit, token)))
    return all(kinds) and entropy(token) >= LEAST_BITS


def entropy(text: str) -> float:
    """In bits a character."""
    counts = Counter(text).values()
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts)


def _is_free(span: tuple[int, int], taken: list[tuple[int, int]]) -> bool:
    return all(span[1] <= start or end <= span[0] for start, end in taken)
