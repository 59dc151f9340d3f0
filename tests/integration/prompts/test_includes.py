"""Includes on a real MongoDB: pinned, never in a circle whoever moves what at once, and not taken away from below."""

from __future__ import annotations

import pytest

from promptforge.actors.projects.messages import CreateProject
from promptforge.actors.prompts.errors import IncludeArchived, IncludesTooDeep
from promptforge.actors.prompts.forks.messages import ForkPrompt
from promptforge.actors.prompts.labels.messages import MoveLabel, RemoveLabel
from promptforge.actors.prompts.messages import (
    ArchivePrompt,
    CreatePrompt,
    CreateVersion,
    FirstVersion,
    GetPrompt,
    GetPromptVersionFor,
    GetVersion,
    ListDependants,
    PromptKind,
    PromptView,
    ReadPromptVersion,
    RestorePrompt,
    UpdatePrompt,
)
from promptforge.actors.prompts.rendering.messages import RenderPrompt
from promptforge.actors.prompts.serving.messages import GetCompiledPrompt
from promptforge.core.context import Context
from promptforge.core.errors import Invalid
from tests.integration.marketplace.branches import Branches, all_at_once
from tests.support.market import raised

pytestmark = pytest.mark.anyio


async def made(person: Context, name: str, text: str = "", label: str | None = "live") -> PromptView:
    """A prompt whose first version says its name and `text`, with a label."""
    first = FirstVersion(content=f"{name}{text}")
    prompt = await person.ask(CreatePrompt(name=name, first_version=first))
    if label is not None:
        await person.ask(MoveLabel(prompt_id=prompt.id, label=label, version=1))
    return prompt


async def push(person: Context, prompt: PromptView, text: str) -> int:
    return (await person.ask(CreateVersion(prompt_id=prompt.id, content=text))).value.version


async def text_of(person: Context, prompt: PromptView, label: str = "latest") -> object:
    return (await person.ask(GetCompiledPrompt(prompt_id=prompt.id, label=label))).content


async def test_an_include_follows_its_label_and_keeps_its_version(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    style = await made(carla, "House style", " v1 {{tone}}")
    letter = await made(carla, "Letter", ": {{> House style@live}} / {{> House style@1}} / {{tone}}")
    assert await text_of(carla, letter) == "Letter: House style v1 {{tone}} / House style v1 {{tone}} / {{tone}}"
    await push(carla, style, "Second {{name}}")
    await carla.ask(MoveLabel(prompt_id=style.id, label="live", version=2))
    assert await text_of(carla, letter) == "Letter: Second {{name}} / House style v1 {{tone}} / {{tone}}"
    await carla.ask(UpdatePrompt(prompt_id=style.id, name="Renamed"))
    await made(carla, "House style", " another one")
    assert await text_of(carla, letter) == "Letter: Second {{name}} / House style v1 {{tone}} / {{tone}}"
    rendered = await carla.ask(
        RenderPrompt(prompt_id=letter.id, label="latest", variables={"name": "{{tone}}", "tone": "{{> Renamed@1}}"})
    )
    assert rendered.content == "Letter: Second {{tone}} / House style v1 {{> Renamed@1}} / {{> Renamed@1}}"


async def test_the_same_text_with_another_prompt_behind_its_name_is_another_version(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    style = await made(carla, "Style", " one")
    letter = await made(carla, "Letter", ": {{> Style@1}}")
    await carla.ask(UpdatePrompt(prompt_id=style.id, name="Old style"))
    await made(carla, "Style", " two")
    again = await carla.ask(CreateVersion(prompt_id=letter.id, content="Letter: {{> Style@1}}"))
    assert (again.new, again.value.version) == (True, 2)
    assert await text_of(carla, letter) == "Letter: Style two"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{{> Nobody@1}}", "unknown_include"),
        ("{{> Chat@1}}", "not_a_text"),
        ("{{> Style}}", "bad_include"),
        ("{{> Style@latest}}", "bad_include"),
        ("{{> Foreign@1}}", "unknown_include"),
    ],
)
async def test_what_cannot_be_included_is_pointed_to(branches: Branches, text: str, code: str) -> None:
    carla, _ = await branches.person("carla")
    eve, _ = await branches.person("eve")
    await made(carla, "Style")
    await carla.ask(CreatePrompt(name="Chat", kind=PromptKind.CHAT))
    await made(eve, "Foreign")
    with pytest.raises(Invalid) as refused:
        await carla.ask(CreatePrompt(name="Bad", first_version=FirstVersion(content=text)))
    assert [(one.code, one.pointer) for one in refused.value.errors] == [(code, "/first_version/content")]
    assert await branches.count("prompts", name="Bad") == 0


async def test_a_missing_version_or_label_and_a_circle_are_conflicts(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    a, b = await made(carla, "A"), await made(carla, "B")
    for text, code in (
        ("{{> B@9}}", "include_missing"),
        ("{{> B@none}}", "include_missing"),
        ("{{> A@1}}", "include_cycle"),
    ):
        assert await raised(carla, CreateVersion(prompt_id=a.id, content=text)) == code
    await push(carla, a, "{{> B@live}}")
    await carla.ask(MoveLabel(prompt_id=a.id, label="live", version=2))
    assert await raised(carla, CreateVersion(prompt_id=b.id, content="{{> A@live}}")) == "include_cycle"
    assert await raised(carla, CreateVersion(prompt_id=b.id, content="B2 {{> A@1}}")) == "done"
    assert await raised(carla, MoveLabel(prompt_id=b.id, label="live", version=2)) == "done", "A@1 includes nothing"
    assert await text_of(carla, a, "live") == "B2 A"


async def test_a_label_that_would_close_a_circle_stays_where_it_is(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    a, b = await made(carla, "A"), await made(carla, "B")
    await push(carla, a, "A2 {{> B@live}}")
    await push(carla, b, "B2 {{> A@live}}")
    await carla.ask(MoveLabel(prompt_id=a.id, label="live", version=2))
    assert await raised(carla, MoveLabel(prompt_id=b.id, label="live", version=2)) == "include_cycle"
    assert await text_of(carla, a, "live") == "A2 B"


async def test_two_versions_that_would_close_a_circle_together_are_not_both_made(branches: Branches) -> None:
    here, there = await branches.person("carla")
    for number in range(6):
        a, b = [await made(here, f"{name}{number}") for name in "AB"]
        c, d = [await made(here, f"{name}{number}") for name in "CD"]
        # A → B exists, C → D exists; B → C and D → A are begun at once: each alone is no circle.
        for one, other in ((a, b), (c, d)):
            await push(here, one, f"{one.name} {{{{> {other.name}@live}}}}")
            await here.ask(MoveLabel(prompt_id=one.id, label="live", version=2))
        wanted = [
            (here, CreateVersion(prompt_id=b.id, content=f"B2 {{{{> {c.name}@live}}}}")),
            (there, CreateVersion(prompt_id=d.id, content=f"D2 {{{{> {a.name}@live}}}}")),
        ]
        assert (await all_at_once(wanted))["done"] == 2, "no label points to them yet"
        moves = [
            (here, MoveLabel(prompt_id=b.id, label="live", version=2)),
            (there, MoveLabel(prompt_id=d.id, label="live", version=2)),
        ]
        assert await all_at_once(moves) == {"done": 1, "include_cycle": 1}
        for prompt in (a, b, c, d):
            assert await raised(here, GetCompiledPrompt(prompt_id=prompt.id, label="live")) == "done"


async def test_what_is_included_is_not_archived_and_its_label_not_removed(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    style, letter = await made(carla, "Style"), await made(carla, "Letter", " {{> Style@live}}", label=None)
    archive, remove = ArchivePrompt(prompt_id=style.id), RemoveLabel(prompt_id=style.id, label="live")
    assert [await raised(carla, message) for message in (archive, remove)] == ["has_dependants"] * 2
    found = await carla.ask(ListDependants(prompt_id=style.id))
    assert [(one.name, one.version, one.pin, one.live) for one in found.items] == [("Letter", 1, "live", True)]
    await push(carla, letter, "without")
    assert [one.live for one in (await carla.ask(ListDependants(prompt_id=style.id))).items] == [False]
    await carla.ask(MoveLabel(prompt_id=letter.id, label="production", version=1))
    assert await raised(carla, archive) == "has_dependants"
    await carla.ask(RemoveLabel(prompt_id=letter.id, label="production"))
    assert [await raised(carla, message) for message in (remove, archive)] == ["done", "done"]
    missing = GetCompiledPrompt(prompt_id=letter.id, version=1)
    assert await raised(carla, missing) == "include_missing"


async def test_an_include_that_meets_an_archiving_comes_first_or_not_at_all(branches: Branches) -> None:
    here, there = await branches.person("carla")
    for number in range(8):
        style, letter = await made(here, f"Style {number}"), await made(here, f"Letter {number}")
        include = CreateVersion(prompt_id=letter.id, content=f"{{{{> Style {number}@live}}}}")
        archive = ArchivePrompt(prompt_id=style.id)
        asks = [(here, include), (there, archive)] if number % 2 else [(there, archive), (here, include)]
        outcomes = await all_at_once(asks)
        assert outcomes["done"] == 1, outcomes
        assert set(outcomes) <= {"done", "has_dependants", "invalid_request"}


async def test_a_prompt_is_restored_only_where_what_it_includes_is_there(branches: Branches) -> None:
    """By its latest version, or by one with a label; what only older versions include does not matter."""
    carla, _ = await branches.person("carla")
    style, tone = await made(carla, "House style"), await made(carla, "Tone")
    letter = await made(carla, "Letter", ": {{> House style@live}}")
    await push(carla, letter, "Only {{> Tone@1}}")
    await push(carla, letter, "Nothing else")
    await carla.ask(ArchivePrompt(prompt_id=letter.id))
    restore = RestorePrompt(prompt_id=letter.id)
    await carla.ask(ArchivePrompt(prompt_id=style.id))
    await carla.ask(ArchivePrompt(prompt_id=tone.id))
    with pytest.raises(IncludeArchived, match="'Letter' includes 'House style'") as refused:
        await carla.ask(restore)
    assert refused.value.extra == {"includes": ["House style"]}
    await carla.ask(RestorePrompt(prompt_id=style.id))
    await carla.ask(RemoveLabel(prompt_id=style.id, label="live"))
    assert await raised(carla, restore) == "include_missing"
    assert await raised(carla, CreatePrompt(name="Letter")) == "done", "it is still archived, so its name is free"
    await carla.ask(MoveLabel(prompt_id=style.id, label="live", version=1))
    await carla.ask(UpdatePrompt(prompt_id=letter.id, name="Letter again"))
    assert (await carla.ask(restore)).archived_at is None
    assert await text_of(carla, letter, "live") == "Letter: House style"
    assert await raised(carla, ArchivePrompt(prompt_id=style.id)) == "has_dependants"
    back = MoveLabel(prompt_id=letter.id, label="live", version=2)
    assert await raised(carla, back) == "include_archived", "an old version comes back by a label as well"
    await carla.ask(RestorePrompt(prompt_id=tone.id))
    assert await raised(carla, back) == "done"


@pytest.mark.parametrize("change", ["archive", "label"])
async def test_a_restoring_that_meets_the_end_of_what_it_includes_comes_first_or_not_at_all(
    branches: Branches, change: str
) -> None:
    """In two processes, over and over: either what is included stays, or the prompt stays archived."""
    here, there = await branches.person("carla")
    for number in range(6):
        style = await made(here, f"Style {number}")
        letter = await made(here, f"Letter {number}", f": {{{{> Style {number}@live}}}}")
        await here.ask(ArchivePrompt(prompt_id=letter.id))
        end = (
            ArchivePrompt(prompt_id=style.id) if change == "archive" else RemoveLabel(prompt_id=style.id, label="live")
        )
        outcomes = await all_at_once([(here, RestorePrompt(prompt_id=letter.id)), (there, end)])
        refused = "include_archived" if change == "archive" else "include_missing"
        assert outcomes in ({"done": 1, "has_dependants": 1}, {"done": 1, refused: 1}), outcomes
        live = (await here.ask(GetPrompt(prompt_id=letter.id))).archived_at is None
        assert live is (outcomes["has_dependants"] == 1)


async def test_a_fork_keeps_includes_at_home_and_resolves_them_abroad(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    await made(carla, "Style", " {{tone}}")
    letter = await made(carla, "Letter", ": {{> Style@live}}")
    home = await carla.ask(ForkPrompt(prompt_id=letter.id, name="Letter too"))
    project = await carla.ask(CreateProject(name="Abroad"))
    abroad = await carla.ask(ForkPrompt(prompt_id=letter.id, project_id=project.id, label="live"))
    contents = [(await carla.ask(GetVersion(prompt_id=one.id, version=1))).content for one in (home, abroad)]
    assert contents == ["Letter: {{> Style@live}}", "Letter: Style {{tone}}"]
    assert home.forked_from == abroad.forked_from
    assert home.forked_from is not None
    assert (home.forked_from.prompt_id, home.forked_from.version, home.forked_from.purchase_id) == (letter.id, 1, None)
    assert (abroad.name, abroad.latest_version, abroad.project_id) == ("Letter", 1, project.id)
    await push(carla, letter, "Letter: none")
    first = await carla.ask(ForkPrompt(prompt_id=letter.id, name="First", version=1))
    assert first.forked_from is not None
    assert first.forked_from.version == 1, "a version that was named, not the latest one"
    assert await raised(carla, ForkPrompt(prompt_id=letter.id)) == "name_taken"
    eve, _ = await branches.person("eve")
    assert await raised(eve, ForkPrompt(prompt_id=letter.id)) == "not_found"


async def test_a_fork_at_home_includes_what_its_source_does_under_its_name_of_today(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    style = await made(carla, "Style", " one")
    letter = await made(carla, "Letter", ": {{> Style@1}}, {{  tone }}", label=None)
    await carla.ask(UpdatePrompt(prompt_id=style.id, name="House style"))
    renamed = await carla.ask(ForkPrompt(prompt_id=letter.id, name="Renamed"))
    await made(carla, "Style", " of another prompt")
    taken = await carla.ask(ForkPrompt(prompt_id=letter.id, name="Taken"))
    await carla.ask(UpdatePrompt(prompt_id=style.id, name="With {braces}"))
    braced = await carla.ask(ForkPrompt(prompt_id=letter.id, name="Braced"))
    for fork in (renamed, taken, braced):
        assert await text_of(carla, fork) == "Letter: Style one, {{  tone }}"
    contents = [(await carla.ask(GetVersion(prompt_id=one.id, version=1))).content for one in (taken, braced)]
    assert contents == ["Letter: {{> House style@1}}, {{  tone }}", "Letter: Style one, {{  tone }}"]


async def test_what_is_sold_includes_versions_only_and_is_read_whole(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    await made(carla, "Style", " {{tone}}")
    letter = await made(carla, "Letter", ": {{> Style@live}}")
    await push(carla, letter, "Letter: {{> Style@1}}")
    service = branches.here.process.context()
    pins = [GetPromptVersionFor(prompt_id=letter.id, version=number, owner_id=carla.user_id) for number in (1, 2)]
    assert [await raised(service, pin) for pin in pins] == ["unpinned_include", "done"]
    sold = await service.ask(ReadPromptVersion(prompt_id=letter.id, version=2))
    assert (sold.content, sold.includes) == ("Letter: Style {{tone}}", ())


async def chain(person: Context, *names: str) -> list[PromptView]:
    """Each includes the next one by its label `live`; the last one includes nothing."""
    prompts = [await made(person, names[-1])]
    for name, below in zip(reversed(names[:-1]), reversed(names[1:]), strict=True):
        prompts.insert(0, await made(person, name, f" {{{{> {below}@live}}}}"))
    return prompts


async def test_a_label_that_would_make_something_too_deep_stays_where_it_is(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    top = await chain(carla, "Top", "T1", "T2", "T3")
    await chain(carla, "L1", "L2", "L3")
    move = MoveLabel(prompt_id=top[3].id, label="live", version=2)
    await push(carla, top[3], "T3 {{> L1@live}}")
    with pytest.raises(IncludesTooDeep) as refused:
        await carla.ask(move)
    assert refused.value.extra == {"dependants": ["Top"]}
    assert "Top → T1 → T2 → T3 → L1 → L2 → L3" in refused.value.detail
    assert await text_of(carla, top[0]) == "Top T1 T2 T3", "it stays where it was"
    assert await raised(carla, MoveLabel(prompt_id=top[3].id, label="other", version=2)) == "done", "by another label"
    await push(carla, top[3], "T3 {{> L2@live}}")
    assert await raised(carla, MoveLabel(prompt_id=top[3].id, label="live", version=3)) == "done"
    assert await text_of(carla, top[0]) == "Top T1 T2 T3 L2 L3"


async def test_what_nobody_is_served_any_more_holds_no_label_back(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    top = await chain(carla, "Top", "T1", "T2", "T3")
    await chain(carla, "L1", "L2", "L3")
    await push(carla, top[3], "T3 {{> L1@live}}")
    move = MoveLabel(prompt_id=top[3].id, label="live", version=2)
    await push(carla, top[0], "Top without")
    assert await raised(carla, move) == "includes_too_deep", "the label live is still on the version that includes"
    await carla.ask(MoveLabel(prompt_id=top[0].id, label="live", version=2))
    assert await raised(carla, move) == "done"
    assert await raised(carla, GetCompiledPrompt(prompt_id=top[0].id, version=1)) == "includes_too_deep"


async def test_an_old_version_between_them_counts_where_it_is_included_by_number(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    *_, base = await chain(carla, "Base")
    middle = await made(carla, "Middle", " {{> Base@live}}")
    await made(carla, "Top", " {{> Middle@1}}", label=None)
    await push(carla, middle, "Middle without")
    await carla.ask(MoveLabel(prompt_id=middle.id, label="live", version=2))
    await chain(carla, "L1", "L2", "L3", "L4")
    await push(carla, base, "Base {{> L1@live}}")
    with pytest.raises(IncludesTooDeep) as refused:
        await carla.ask(MoveLabel(prompt_id=base.id, label="live", version=2))
    assert "Top → Middle → Base → L1 → L2 → L3 → L4" in refused.value.detail


async def test_a_label_that_would_make_something_too_large_stays_where_it_is(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    piece = await made(carla, "Piece")
    await made(carla, "Sheet", "{{> Piece@live}}" * 50)
    await push(carla, piece, "x" * 25_000)
    assert await raised(carla, MoveLabel(prompt_id=piece.id, label="live", version=2)) == "includes_too_large"
    await push(carla, piece, "x" * 20_000)
    assert await raised(carla, MoveLabel(prompt_id=piece.id, label="live", version=3)) == "done"


async def test_a_label_and_an_include_that_together_are_too_deep_are_not_both_made(branches: Branches) -> None:
    here, there = await branches.person("carla")
    for number in range(6):
        low = await chain(here, *(f"{name}{number}" for name in ("L1", "L2", "L3")))
        middle = await made(here, f"Middle{number}")
        await push(here, middle, f"{{{{> {low[0].name}@live}}}}")
        upper = await chain(here, *(f"{name}{number}" for name in ("U1", "U2")))
        # U1 → U2, and Middle → L1 → L2 → L3: with U2 → Middle it is five levels, with one more above it six.
        await push(here, upper[1], f"U {{{{> Middle{number}@live}}}}")
        top = await made(here, f"Top{number}", f" {{{{> U1{number}@live}}}}", label=None)
        moves = [
            (here, MoveLabel(prompt_id=middle.id, label="live", version=2)),
            (there, MoveLabel(prompt_id=upper[1].id, label="live", version=2)),
        ]
        assert await all_at_once(moves) == {"done": 1, "includes_too_deep": 1}
        assert await raised(here, GetCompiledPrompt(prompt_id=top.id, label="latest")) == "done"
