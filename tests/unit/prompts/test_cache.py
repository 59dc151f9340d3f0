"""The cache of compiled prompts: bounded, forgetful in time, and silent while nobody would hear of a change."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from promptforge.actors.prompts.messages import ModelSettings, PromptKind
from promptforge.actors.prompts.serving.cache import CompiledCache, Entry, Key
from promptforge.actors.prompts.serving.messages import CompiledView

READERS = frozenset({"usr_a"})


def view(text: str) -> CompiledView:
    return CompiledView("prm_a", "A", 1, None, PromptKind.TEXT, text, (), ModelSettings(), (), None, "hash")


def entry(text: str, *prompts: str, size: int = 10, project: str = "prj") -> Entry:
    return Entry(view(text), project, frozenset(prompts), size)


def keep(cache: CompiledCache, key: Key, kept: Entry) -> None:
    cache.keep(cache.begin(), key, kept, READERS)


KEY: Key = ("prm_a", None, "production")


def test_it_answers_readers_only() -> None:
    cache = CompiledCache(lambda: True)
    keep(cache, KEY, entry("a", "prm_a"))
    assert cache.find(KEY, "usr_a") == view("a")
    assert cache.find(KEY, "usr_b") is None
    cache.project_changed("prj")
    assert cache.find(KEY, "usr_a") is None


def test_it_forgets_what_is_made_of_a_prompt_that_changed() -> None:
    cache = CompiledCache(lambda: True)
    keep(cache, KEY, entry("a", "prm_a", "prm_b"))
    keep(cache, ("prm_c", 1, None), entry("c", "prm_c"))
    cache.prompt_changed("prm_b")
    assert cache.find(KEY, "usr_a") is None
    assert cache.find(("prm_c", 1, None), "usr_a") == view("c")
    assert cache.tracked == 1


def test_what_was_read_before_a_change_is_not_kept_after_it() -> None:
    """The race of a slow read with an eviction: the read may be older than the change."""
    cache = CompiledCache(lambda: True)
    changes: tuple[Callable[[], None], ...] = (
        lambda: cache.prompt_changed("prm_a"),
        lambda: cache.project_changed("prj"),
        cache.clear,
    )
    for change in changes:
        begun = cache.begin()
        change()
        cache.keep(begun, KEY, entry("old", "prm_a"), READERS)
        assert cache.find(KEY, "usr_a") is None


def test_it_is_silent_while_changes_are_not_heard_of() -> None:
    heard = True
    cache = CompiledCache(lambda: heard)
    keep(cache, KEY, entry("a", "prm_a"))
    heard = False
    assert cache.find(KEY, "usr_a") is None
    keep(cache, ("prm_b", None, None), entry("b", "prm_b"))
    assert cache.size == 1


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.frozensets(st.sampled_from("abcdef"), max_size=3), st.integers(1, 60))
        | st.sampled_from("abcdef"),
        max_size=60,
    )
)
def test_it_is_bounded_and_its_index_holds_what_it_holds(steps: list[tuple[str, frozenset[str], int] | str]) -> None:
    cache = CompiledCache(lambda: True, max_characters=100)
    kept: dict[Key, Entry] = {}
    for step in steps:
        if isinstance(step, str):
            cache.prompt_changed(step)
            kept = {key: one for key, one in kept.items() if step not in one.prompt_ids}
        else:
            name, prompts, size = step
            key: Key = (name, None, None)
            kept[key] = entry(name, name, *prompts, size=size)
            keep(cache, key, kept[key])
        found = {key: one for key, one in kept.items() if cache.find(key, "usr_a") is not None}
        assert sum(one.size for one in found.values()) <= 100
        assert cache.size == len(found)
        assert cache.tracked == sum(len(one.prompt_ids) for one in found.values())
