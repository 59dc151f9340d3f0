"""Compiled prompts, and who may read them, in this process's memory: bounded, and evicted by the change stream.

An entry is what one moment of the database said. It is forgotten when any prompt that it is made of changes, or a label
of one. What was read while something was forgotten is not kept, for it may be older than the change. While the stream
is silent nothing is answered: nobody would hear of a change. The cache is never the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cachetools import LRUCache

from promptforge.actors.prompts.serving.messages import CompiledView

MAX_CHARACTERS = 32_000_000
"""Of all compiled contents together."""
MAX_READER_LISTS = 10_000

Key = tuple[str, int | None, str | None]
"""Prompt, version or label as asked for."""


@dataclass(frozen=True, slots=True)
class Entry:
    """`prompt_ids` are those of all prompts that the view is made of."""

    view: CompiledView
    project_id: str
    prompt_ids: frozenset[str]
    size: int


class _Tracked(LRUCache[Key, Entry]):
    """Tells of every entry that leaves, whatever the reason."""

    def __init__(self, max_size: int, left: Callable[[Key, Entry], None]) -> None:
        super().__init__(max_size, getsizeof=lambda entry: entry.size)
        self._left = left

    def __delitem__(self, key: Key) -> None:
        entry = self[key]
        super().__delitem__(key)
        self._left(key, entry)


class CompiledCache:
    """`trusted` says whether changes are being heard of."""

    def __init__(self, trusted: Callable[[], bool] = lambda: False, *, max_characters: int = MAX_CHARACTERS) -> None:
        self.trusted = trusted
        self._entries = _Tracked(max_characters, self._forget)
        self._readers: LRUCache[str, frozenset[str]] = LRUCache(MAX_READER_LISTS)
        self._by_prompt: dict[str, set[Key]] = {}
        self._changes = 0

    def find(self, key: Key, user_id: str) -> CompiledView | None:
        """The view, where it is known, may be trusted, and is this user's to read."""
        if not self.trusted():
            return None
        entry = self._entries.get(key)
        if entry is None:
            return None
        readers = self._readers.get(entry.project_id)
        return entry.view if readers is not None and user_id in readers else None

    def begin(self) -> int:
        """To be called before reading what is to be kept."""
        return self._changes

    def keep(self, begun: int, key: Key, entry: Entry, readers: frozenset[str]) -> None:
        """Keep what was read since `begun`, unless something changed meanwhile."""
        if begun != self._changes or not self.trusted() or entry.size > self._entries.maxsize:
            return
        self._entries.pop(key, None)
        self._entries[key] = entry
        self._readers[entry.project_id] = readers
        for prompt_id in entry.prompt_ids:
            self._by_prompt.setdefault(prompt_id, set()).add(key)

    def prompt_changed(self, prompt_id: str) -> None:
        """Forget everything that is made of this prompt."""
        self._changes += 1
        for key in list(self._by_prompt.get(prompt_id, ())):
            self._entries.pop(key, None)

    def project_changed(self, project_id: str) -> None:
        """Forget who may read what is in it."""
        self._changes += 1
        self._readers.pop(project_id, None)

    def clear(self) -> None:
        """Forget everything: changes may have been missed."""
        self._changes += 1
        self._entries.clear()
        self._readers.clear()
        self._by_prompt.clear()

    @property
    def size(self) -> int:
        """How many entries there are."""
        return len(self._entries)

    @property
    def tracked(self) -> int:
        """How many (prompt, entry) pairs are remembered; bounded by what the entries are made of."""
        return sum(map(len, self._by_prompt.values()))

    def _forget(self, key: Key, entry: Entry) -> None:
        for prompt_id in entry.prompt_ids:
            keys = self._by_prompt.get(prompt_id)
            if keys is not None:
                keys.discard(key)
                if not keys:
                    del self._by_prompt[prompt_id]
