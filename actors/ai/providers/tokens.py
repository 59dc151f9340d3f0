"""Counting tokens without a tokenizer: an estimate that is rather too high than too low.

Tokenizers differ and the large ones fetch their vocabulary over the network. English has about four characters a token,
code and numbers about three, and other scripts between one and three tokens a character's worth of UTF-8 bytes. What is
reserved by this estimate is settled by the provider's own count.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from promptforge.actors.ai.providers.interface import Turn

CHARACTERS_PER_TOKEN = 3
TOKENS_PER_TURN = 8
"""The markers that a chat template puts around a message."""
TOKENS_PER_CHAT = 24
"""What a template may put in front of a chat: SmolLM2's adds a system message of its own."""


def tokens_of(text: str) -> int:
    """ASCII by the three, everything else by UTF-8's bytes halved."""
    plain = len(text.encode("ascii", "ignore"))
    other = len(text.encode("utf-8", "surrogatepass")) - plain
    return math.ceil(plain / CHARACTERS_PER_TOKEN + other / 2)


def spoken_tokens(text: str) -> int:
    """Of an answer whose provider told no count: what a reader pays for, so rather too few than too many."""
    plain = len(text.encode("ascii", "ignore"))
    other = len(text.encode("utf-8", "surrogatepass")) - plain
    return math.ceil(plain / 4 + other / 3)


def tokens_of_turns(turns: Iterable[Turn]) -> int:
    return TOKENS_PER_CHAT + sum(TOKENS_PER_TURN + tokens_of(turn.text) for turn in turns)
