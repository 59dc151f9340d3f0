"""A language model that says what a test wants, and waits for it where it should."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio

from promptforge.actors.ai.providers.interface import Completion, End, Finish, Prompt, Stream, Tokens, Turn
from promptforge.actors.ai.providers.tokens import tokens_of_turns
from promptforge.core.streams import Delta


@dataclass
class ScriptedModel:
    """Answers `pieces`, then its token counts. `fails` is raised after `fails_after` pieces.

    `pause`: seconds before each piece. `told`: the prompts that it was asked. `stopped`: how many answers were given
    up. `script`: where set, makes the pieces from the prompt. `held`: where set, nothing is said before it is.
    """

    name: str = "scripted"
    pieces: Sequence[str] = ("one ", "two ", "three")
    tokens: Tokens | None = field(default_factory=lambda: Tokens(100, 50))
    finish: Finish = Finish.STOP
    fails: Exception | None = None
    fails_after: int = 0
    pause: float = 0.0
    script: Callable[[Prompt], Sequence[str]] | None = None
    held: anyio.Event | None = None
    told: list[Prompt] = field(default_factory=list)
    stopped: int = 0

    async def complete(self, prompt: Prompt) -> Completion:
        parts: list[str] = []
        async for item in self.stream(prompt):
            if isinstance(item, End):
                return Completion("".join(parts), item.finish, item.tokens)
            parts.append(item.text)
        raise AssertionError("a stream has an end")

    async def stream(self, prompt: Prompt) -> Stream:
        self.told.append(prompt)
        pieces = self.pieces if self.script is None else self.script(prompt)
        finished = False
        try:
            if self.held is not None:
                await self.held.wait()
            for number, piece in enumerate(pieces):
                await anyio.sleep(self.pause)
                if self.fails is not None and number == self.fails_after:
                    raise self.fails
                yield Delta(piece)
            if self.fails is not None:
                raise self.fails
            finished = True
        finally:
            self.stopped += not finished
        yield End(self.finish, self.tokens)

    def count_tokens(self, turns: tuple[Turn, ...]) -> int:
        return tokens_of_turns(turns)

    async def close(self) -> None:
        """There is nothing to close."""
