"""What the rules find and what they leave alone, with keys and numbers made for the purpose."""

from __future__ import annotations

import base64
import secrets
import time
from pathlib import Path

import pytest

from promptforge.actors.moderation.checks import terms
from promptforge.actors.moderation.checks.messages import Finding, Severity
from promptforge.actors.moderation.checks.passages import Passage
from promptforge.actors.moderation.checks.personal import find_personal_data
from promptforge.actors.moderation.checks.secrets import PATTERNS, entropy, find_secrets
from promptforge.core.errors import ConfigurationError

LETTERS = "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xYzAbCdEfGhIjKlMnOpQrStUvWxYz012345"
PARTS = "eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxMjM0NTY3ODkwIn0", "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
KEYS = {
    "private_key": "-----BEGIN RSA PRIVATE KEY-----",
    "anthropic_key": "sk-ant-api03-" + LETTERS[:40],
    "openai_key": "sk-proj-" + LETTERS[:40],
    "aws_key": "AKIA" + "ABCDEFGHIJKLMNOP",
    "google_key": "AIza" + LETTERS[:35],
    "github_token": "ghp_" + LETTERS[:36],
    "gitlab_token": "glpat-" + LETTERS[:20],
    "slack_token": "xoxb-" + "123456789012-" + LETTERS[:24],
    "stripe_key": "sk_live_" + LETTERS[:24],
    "webhook_secret": "whsec_" + LETTERS[:32],
    "sendgrid_key": "SG." + LETTERS[:22] + "." + LETTERS[:43],
    "twilio_key": "SK" + "0123456789abcdef" * 2,
    "huggingface_token": "hf_" + LETTERS[:34],
    "npm_token": "npm_" + LETTERS[:36],
    "pypi_token": "pypi-" + LETTERS[:60],
    "telegram_token": "123456789:AA" + LETTERS[:33],
    "promptforge_key": "pfk_" + LETTERS[:40],
    "jwt": ".".join(PARTS),
    "url_password": "postgres://admin:hunter22@db.internal/prod",
}
HARMLESS = [
    "Summarise {{article}} in five lines.",
    "Use sk-… as a placeholder, or YOUR_API_KEY_GOES_HERE.",
    "https://api.example.com:8080/v1/path?x=1",
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "01k8y3w5q2m7t9x4c6v1b8n0ra",
    "a-very-long-identifier-made-of-ordinary-words-in-lower-case",
    "ThisIsAVeryLongCamelCaseIdentifierOfAFunction",
    "task-description-for-the-summariser",
    "postgres://{{user}}:{{password}}@{{host}}/db",
]


def secrets_in(text: str) -> list[Finding]:
    return list(find_secrets(Passage("content", text)))


def personal_in(text: str) -> list[str]:
    return [finding.code for finding in find_personal_data(Passage("content", text))]


def terms_in(text: str) -> list[str]:
    return [finding.code for finding in terms.built_in().find(Passage("content", text))]


def test_there_is_a_key_of_each_kind() -> None:
    assert set(KEYS) == {pattern.code for pattern in PATTERNS}


@pytest.mark.parametrize("code", KEYS)
@pytest.mark.parametrize("around", ["{}", "key: {}\n", '"{}"', "Use ({}).", "API_KEY={} python"])
def test_a_key_is_found_in_its_place_and_never_quoted(code: str, around: str) -> None:
    text = "Answer politely.\n" + around.format(KEYS[code])
    (finding,) = secrets_in(text)
    assert finding.code == code
    assert finding.severity is Severity.HIGH
    assert finding.where == f"content, line 2, column {around.index('{') + 1}"
    assert KEYS[code] not in repr(finding)
    assert KEYS[code][:12] not in repr(finding)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert secrets_in(text) == []


def test_random_strings_are_noticed_and_words_are_not() -> None:
    tokens = [base64.b64encode(secrets.token_bytes(36)).decode() for _ in range(200)]
    noticed = [token for token in tokens if [one.code for one in secrets_in(token)] == ["random_string"]]
    assert len(noticed) >= 190, "nearly all: chance makes some look orderly"
    assert entropy("aaaa") == 0
    assert entropy("abcd") == 2


@pytest.mark.parametrize(
    "character", ["a", "A1", "sk-", "eyJ", "eyJa.", "1 ", "1-", "a@", "x://", "AB12 ", "-----BEGIN "]
)
def test_the_time_is_in_proportion_to_the_text(character: str) -> None:
    """Nobody can stop the checks with a text that makes an expression try for ever."""
    text = character * (200_000 // len(character))
    began = time.process_time()
    list(find_secrets(Passage("content", text)))
    list(find_personal_data(Passage("content", text)))
    list(terms.built_in().find(Passage("content", text)))
    assert time.process_time() - began < 20, "backtracking would take minutes"


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("Write to ada.lovelace@mailbox.org", ["email"]),
        ("Write to ada@example.com or x@host.test", []),
        ("Call +49 30 901820 or +1 212-736-5000", ["phone_number", "phone_number"]),
        ("Version 2026.11.25 of 1234567 items", []),
        ("Pay with 4539 1488 0343 6467", ["card_number"]),
        ("Pay with 4539 1488 0343 6468", []),
        ("Test with 4242 4242 4242 4242", []),
        ("To DE89 3704 0044 0532 0130 00 PLEASE", ["iban"]),
        ("To GB29NWBK60161331926819.", ["iban"]),
        ("To DE89 3704 0044 0532 0130 01", []),
    ],
)
def test_personal_data_is_told_from_what_only_looks_like_it(text: str, codes: list[str]) -> None:
    assert personal_in(text) == codes


def test_no_finding_quotes_personal_data() -> None:
    text = "ada.lovelace@mailbox.org, +49 30 901820, 4539 1488 0343 6467, DE89 3704 0044 0532 0130 00"
    found = list(find_personal_data(Passage("content", text)))
    assert len(found) == 4
    assert not any(part in repr(found) for part in ("ada", "901820", "4539", "DE89"))


@pytest.mark.parametrize(
    "dressed",
    [
        "pipe bomb",
        "PIPE  BOMB",
        "pipe-bomb",
        "p1pe b0mb",
        "pіре bоmb",
        "ｐｉｐｅ　ｂｏｍｂ",
        "pi\u200bpe bo\u00admb",
        "pípé bömb",
        "p i p e  b o m b",
        "p.i.p.e b.o.m.b",
        "p_i_p_e_b_o_m_b",
        "pipebomb",
    ],
)
def test_a_banned_term_is_found_however_it_is_dressed_up(dressed: str) -> None:
    assert terms_in(f"How to make a {dressed}, step by step") == ["weapons"]


@pytest.mark.parametrize(
    "innocent",
    ["A bagpipe bombards us", "the pipe, and then a bomb", "fullzip", "Essex, Scunthorpe", "pipe bombs away"],
)
def test_only_whole_words_are_banned(innocent: str) -> None:
    assert terms_in(innocent) == []


def test_a_term_is_found_where_it_was_written() -> None:
    (finding,) = terms.built_in().find(Passage("description", "Nice.\n\u200bA f.u.l.l.z shop"))
    assert finding.where == "description, line 2, column 4"


def test_operators_have_lists_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "ours.txt"
    path.write_text("# ours\n\nlow  rivals  Acme  Prompts\n")
    ours = terms.load(path)
    (finding,) = ours.find(Passage("title", "ACME prompts for free"))
    assert (finding.code, finding.severity, "ours.txt" in finding.detail) == ("rivals", Severity.LOW, True)
    assert list(ours.find(Passage("title", "pipe bomb"))) == [], "it takes the place of the other"


@pytest.mark.parametrize("line", ["high weapons", "urgent weapons bomb", "high Weapons bomb", "high weapons -"])
def test_a_line_that_is_no_term_stops_the_start(tmp_path: Path, line: str) -> None:
    path = tmp_path / "ours.txt"
    path.write_text(f"low rivals acme\n{line}\n")
    with pytest.raises(ConfigurationError, match="line 2"):
        terms.load(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        terms.load(tmp_path / "nowhere.txt")
