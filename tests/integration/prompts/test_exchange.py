"""Import and export on a real MongoDB: what was taken, what was not and why, and nothing by half."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from promptforge.actors.projects.messages import AddMember, CreateProject, ProjectRole, ProjectView
from promptforge.actors.prompts.exchange.messages import (
    ExportPrompts,
    ImportedItem,
    ImportFormat,
    ImportOutcome,
    ImportPrompts,
    OnConflict,
)
from promptforge.actors.prompts.labels.messages import ListLabels, MoveLabel
from promptforge.actors.prompts.messages import (
    ArchivePrompt,
    ChatMessage,
    ChatRole,
    CreatePrompt,
    CreateVersion,
    FirstVersion,
    GetVersion,
    ListPrompts,
    ModelSettings,
    PromptKind,
    Tool,
    UpdatePrompt,
    Variable,
    VariableType,
)
from promptforge.actors.prompts.serving.messages import GetCompiledPrompt
from promptforge.actors.users.messages import UpdateProfile
from promptforge.core.context import Context
from promptforge.core.principal import Role
from tests.integration.marketplace.branches import Branches
from tests.support.market import raised

pytestmark = pytest.mark.anyio
Items = list[dict[str, Any]]
SYSTEM = ChatMessage(ChatRole.SYSTEM, "{{> Style@1}} {{> Style@live}}")
PLAIN = FirstVersion(content="Be {{tone}}")


async def exported(person: Context, project: str) -> Items:
    found: Items = []
    cursor = None
    while True:
        page = await person.ask(ExportPrompts(project_id=project, limit=2, cursor=cursor))
        found += [orjson.loads(orjson.dumps(prompt)) for prompt in page.prompts]
        cursor = page.next
        if cursor is None:
            return sorted(found, key=lambda prompt: str(prompt["name"]))


async def take(person: Context, kind: ImportFormat, items: Items, **options: Any) -> tuple[ImportedItem, ...]:
    return (await person.ask(ImportPrompts(format=kind, items=tuple(items), **options))).items


async def project_of(person: Context, name: str) -> ProjectView:
    return await person.ask(CreateProject(name=name))


async def test_what_is_exported_is_imported_as_it_was(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    source, target = await project_of(carla, "Source"), await project_of(carla, "Target")
    variable = Variable("tone", VariableType.ENUM, "How it sounds", "dry", ("dry", "warm"))
    rich = FirstVersion(
        content=(
            ChatMessage(ChatRole.SYSTEM, "{{> Style@1}} {{> Style@live}}"),
            ChatMessage(ChatRole.USER, "{{tone}}"),
        ),
        settings=ModelSettings(model="m", temperature=0.5),
        message="why",
        tools=(Tool("look_up", "Looks up", {"type": "object", "$defs": {"a.b": {"$ref": "#"}}}),),
        response_schema={"type": "object"},
        variables=(variable,),
    )
    style = await carla.ask(
        CreatePrompt(
            name="Style", project_id=source.id, folder="a/b", first_version=FirstVersion(content="Be {{tone}}")
        )
    )
    await carla.ask(CreateVersion(prompt_id=style.id, content="Be {{ tone }}!"))
    await carla.ask(MoveLabel(prompt_id=style.id, label="live", version=2))
    await carla.ask(
        CreatePrompt(
            name="Chat", kind=PromptKind.CHAT, project_id=source.id, description="D", tags=("x",), first_version=rich
        )
    )
    await carla.ask(CreatePrompt(name="Empty", project_id=source.id))
    before = await exported(carla, source.id)
    report = await take(carla, ImportFormat.PROMPTFORGE, before, project_id=target.id)
    assert [(one.name, one.outcome, one.versions_added) for one in report] == [
        ("Chat", ImportOutcome.TAKEN, 1),
        ("Empty", ImportOutcome.TAKEN, 0),
        ("Style", ImportOutcome.TAKEN, 2),
    ]
    assert [one.notes for one in report] == [(), (), ()]
    assert await exported(carla, target.id) == before
    again = await take(carla, ImportFormat.PROMPTFORGE, before, project_id=target.id)
    assert {one.outcome for one in again} == {ImportOutcome.UNCHANGED}
    assert await exported(carla, target.id) == before


async def test_an_export_names_what_is_included_as_it_is_called_now(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    source, target = await project_of(carla, "Source"), await project_of(carla, "Target")
    style = await carla.ask(CreatePrompt(name="Style", project_id=source.id, first_version=PLAIN))
    letter = FirstVersion(content="{{> Style@1}} in {{ words }}")
    await carla.ask(CreatePrompt(name="Letter", project_id=source.id, first_version=letter))
    await carla.ask(UpdatePrompt(prompt_id=style.id, name="House style"))
    items = await exported(carla, source.id)
    assert items[1]["versions"][0]["content"] == "{{> House style@1}} in {{ words }}"
    report = await take(carla, ImportFormat.PROMPTFORGE, items, project_id=target.id)
    assert [one.outcome.value for one in report] == ["taken", "taken"]


LANGFUSE: Items = [
    {
        "name": "support/answer",
        "version": 7,
        "type": "chat",
        "prompt": [
            {"role": "system", "content": "@@@langfusePrompt:name=style|label=production@@@ Be {{tone}}."},
            {"type": "chatmessage", "role": "user", "content": "{{question}}"},
        ],
        "config": {
            "model": "gpt-5-mini",
            "temperature": 0.3,
            "max_tokens": 100,
            "seed": 4,
            "tools": [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}],
            "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
        },
        "labels": ["production", "latest", "1st"],
        "tags": ["support"],
        "commitMessage": "shorter",
    },
    {"name": "style", "version": 3, "type": "text", "prompt": "Plain words.", "labels": ["production"], "config": {}},
    {"name": "style", "version": 1, "type": "text", "prompt": "Long words.", "labels": [], "tags": ["style"]},
    {"name": "with history", "version": 1, "type": "chat", "prompt": [{"type": "placeholder", "name": "history"}]},
    {"name": "listed", "versions": [1, 2], "labels": ["production"], "tags": []},
    {"name": "circle", "version": 1, "type": "text", "prompt": "@@@langfusePrompt:name=circle|version=1@@@"},
    {"name": "bad schema", "version": 1, "prompt": "a", "config": {"model": 5}},
    {"version": 1, "prompt": "no name"},
]


async def test_a_langfuse_export_is_taken_prompt_by_prompt(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    report = await take(carla, ImportFormat.LANGFUSE, LANGFUSE)
    assert [(one.name, one.outcome.value, one.indexes, one.versions_added) for one in report] == [
        ("support/answer", "taken", (0,), 1),
        ("style", "taken", (1, 2), 2),
        ("with history", "refused", (3,), 0),
        ("listed", "refused", (4,), 0),
        ("circle", "refused", (5,), 0),
        ("bad schema", "refused", (6,), 0),
        (None, "refused", (7,), 0),
    ]
    told = {one.name: [(problem.code, problem.pointer) for problem in one.problems] for one in report}
    assert told["with history"] == [("placeholder", "/prompt/0")]
    assert told["listed"] == [("no_content", "/prompt")]
    assert told["circle"] == [("include_cycle", None)]
    assert told["bad schema"] == [("string_type", "/versions/0/settings/model")]
    assert told[None] == [("string_type", "/name")]
    answer, style = report[0], report[1]
    assert [note.pointer for note in answer.notes] == ["/config/seed", "/labels/2", "/versions"]
    assert style.labels_set == answer.labels_set == ("production",)
    assert answer.prompt_id is not None
    compiled = await carla.ask(GetCompiledPrompt(prompt_id=answer.prompt_id))
    assert [message.content for message in compiled.content if not isinstance(message, str)] == [
        "Plain words. Be {{tone}}.",
        "{{question}}",
    ]
    assert (compiled.settings, compiled.response_schema) == (
        ModelSettings(model="gpt-5-mini", temperature=0.3, max_tokens=100),
        {"type": "object"},
    )
    assert [tool.name for tool in compiled.tools] == ["look_up"]
    prompts = (await carla.ask(ListPrompts())).items
    assert {(one.name, one.folder, one.tags) for one in prompts} == {
        ("support/answer", "support", ("support",)),
        ("style", "", ()),
    }
    assert await branches.count("prompt_versions") == 3, "of those refused nothing is left"


async def test_versions_are_taken_in_the_order_of_their_numbers_and_each_number_once(branches: Branches) -> None:
    carla, _ = await branches.person("carla")

    def item(name: str, **contents: str) -> dict[str, Any]:
        versions = [{"version": int(key.strip("v_")), "content": content} for key, content in contents.items()]
        return {"name": name, "kind": "text", "versions": versions, "labels": {"production": versions[0]["version"]}}

    items = [
        item("Turned", v5="new", v2="old"),
        item("Twice", v2="a", v2_="b"),
        item("Lost", v2="{{> Nobody@1}}", v1="a"),
    ]
    turned, twice, lost = await take(carla, ImportFormat.PROMPTFORGE, items)
    assert (turned.outcome.value, turned.versions_added) == ("taken", 2)
    assert turned.prompt_id is not None
    version = await carla.ask(GetVersion(prompt_id=turned.prompt_id, version=2))
    assert version.content == "new"
    assert (await carla.ask(ListLabels(prompt_id=turned.prompt_id))).items[0].version == 2
    assert [(problem.code, problem.pointer) for one in (twice, lost) for problem in one.problems] == [
        ("repeated", "/versions"),
        ("unknown_include", "/versions/0/content"),
    ]


ODD: Items = [
    {"name": "a", "prompt": "x", "labels": 5, "config": {"tools": {"name": "f"}, "response_format": 1}},
    {"name": "b", "prompt": "x", "labels": "production", "config": {"response_format": {"type": "json_schema"}}},
    {"name": "c", "prompt": [{"role": "user", "content": {"type": []}}]},
    {"name": "d", "prompt": 5, "type": {}, "tags": {}, "version": []},
    {"name": {"e": 1}, "prompt": "x"},
]


async def test_what_has_another_shape_than_langfuse_gives_it_is_noted_or_refused(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    report = await take(carla, ImportFormat.LANGFUSE, ODD)
    assert [one.outcome.value for one in report] == ["taken", "taken", "refused", "refused", "refused"]
    assert [[note.pointer for note in one.notes] for one in report[:2]] == [
        ["/config/tools", "/config/response_format", "/labels"],
        ["/config/response_format", "/labels"],
    ]
    assert [one.labels_set for one in report[:2]] == [(), ()]


async def test_a_part_of_a_message_with_a_type_that_is_none_is_refused(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    item = {"name": "odd", "messages": [{"role": "user", "content": [{"type": ["text"], "text": "Hello"}]}]}
    (odd,) = await take(carla, ImportFormat.OPENAI, [item])
    assert [(problem.code, problem.pointer) for problem in odd.problems] == [("not_a_text", "/messages/0")]


OPENAI: Items = [
    {
        "id": "pmpt_1",
        "name": "Greeter",
        "version": "2",
        "model": "gpt-5",
        "instructions": "Be kind.",
        "messages": [{"role": "user", "content": [{"type": "input_text", "text": "Greet {{name}}"}]}],
        "variables": {"name": "Ada"},
        "tools": [{"type": "web_search"}, {"type": "function", "name": "look_up", "parameters": {"type": "object"}}],
        "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}},
        "reasoning": {"effort": "low"},
        "is_default": True,
    },
    {"id": "pmpt_2", "messages": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
    {"id": "pmpt_3", "messages": []},
]
AS_CODE: Items = [  # the request that code sends once its prompt was moved into it, with the name it shall have
    {
        "name": "Support",
        "model": "gpt-5.1",
        "input": [
            {"role": "system", "content": "You are helpful."},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "{{customer}}: {{issue}}"}]},
        ],
        "max_output_tokens": 300,
        "text": {"format": {"type": "text"}},
    },
    {"name": "Short", "instructions": "Be brief.", "input": "Say {{word}}", "prompt": {"variables": {"word": "hi"}}},
    {"prompt": {"id": "pmpt_9", "version": "3", "variables": {"city": "San Francisco"}}},
    {"prompt": {"prompt_id": "pmpt_9b"}, "input": []},
]
AS_ANSWERED: Items = [  # of `GET /v1/responses/{id}`
    {
        "id": "resp_1",
        "object": "response",
        "created_at": 1763000000,
        "status": "completed",
        "model": "gpt-5.1",
        "instructions": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Weather of Rome."}]}
        ],
        "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Sunny"}]}],
        "prompt": {
            "id": "pmpt_7",
            "version": str(number),
            "variables": {"city": {"type": "input_text", "text": "Rome"}},
        },
        "temperature": 0.5,
        "usage": {"input_tokens": 5},
    }
    for number in (4, 2)
]
AS_ANSWERED[1]["instructions"] = "Weather, once."


async def test_openai_stored_prompts_are_taken_as_chats(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    greeter, picture, empty = await take(carla, ImportFormat.OPENAI, OPENAI)
    assert [one.outcome.value for one in (greeter, picture, empty)] == ["taken", "refused", "refused"]
    assert [note.pointer for note in greeter.notes] == ["/tools/0", "/reasoning", "/versions"]
    assert greeter.prompt_id is not None
    version = await carla.ask(GetVersion(prompt_id=greeter.prompt_id, version=1))
    assert version.content == (
        ChatMessage(ChatRole.DEVELOPER, "Be kind."),
        ChatMessage(ChatRole.USER, "Greet {{name}}"),
    )
    assert version.variables == (Variable("name", default="Ada"),)
    assert [problem.code for problem in picture.problems] == ["not_a_text"]
    assert greeter.labels_set == ("production",)


async def test_openai_requests_as_code_has_them_are_taken_and_references_alone_are_not(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    support, short, alone, other = await take(carla, ImportFormat.OPENAI, AS_CODE)
    assert [one.outcome.value for one in (support, short, alone, other)] == ["taken", "taken", "refused", "refused"]
    assert (support.notes, short.notes) == ((), ())
    assert [(one.name, [(problem.code, problem.pointer) for problem in one.problems]) for one in (alone, other)] == [
        ("pmpt_9", [("no_content", "/prompt")]),
        ("pmpt_9b", [("no_content", "/prompt")]),
    ]
    assert "OpenAI's API hands out to nobody" in alone.problems[0].detail
    assert support.prompt_id is not None
    assert short.prompt_id is not None
    version = await carla.ask(GetVersion(prompt_id=support.prompt_id, version=1))
    assert version.content == (
        ChatMessage(ChatRole.SYSTEM, "You are helpful."),
        ChatMessage(ChatRole.USER, "{{customer}}: {{issue}}"),
    )
    assert version.settings == ModelSettings(model="gpt-5.1", max_tokens=300)
    version = await carla.ask(GetVersion(prompt_id=short.prompt_id, version=1))
    assert version.content == (ChatMessage(ChatRole.DEVELOPER, "Be brief."), ChatMessage(ChatRole.USER, "Say {{word}}"))
    assert version.variables == (Variable("word", default="hi"),)


async def test_of_an_openai_response_what_the_model_was_told_is_taken(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    (taken,) = await take(carla, ImportFormat.OPENAI, AS_ANSWERED)
    assert (taken.name, taken.outcome.value, taken.indexes, taken.versions_added) == ("pmpt_7", "taken", (0, 1), 2)
    assert [note.pointer for note in taken.notes] == ["/prompt/variables", "", "/prompt/variables", "", "/versions"]
    assert taken.prompt_id is not None
    contents = [(await carla.ask(GetVersion(prompt_id=taken.prompt_id, version=number))).content for number in (1, 2)]
    assert contents == [
        (ChatMessage(ChatRole.DEVELOPER, "Weather, once."),),
        (ChatMessage(ChatRole.DEVELOPER, "Weather of Rome."),),
    ], "in the order of OpenAI's versions"


async def test_a_dry_run_says_the_same_and_leaves_nothing(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    await carla.ask(CreatePrompt(name="Kept", first_version=FirstVersion(content="a")))
    kept = {"name": "Kept", "version": 1, "prompt": "b", "labels": ["x"]}
    before = {name: await branches.count(name) for name in ("prompts", "prompt_versions", "prompt_labels")}
    tried = await take(carla, ImportFormat.LANGFUSE, [*LANGFUSE, kept], dry_run=True)
    assert {name: await branches.count(name) for name in before} == before
    done = await take(carla, ImportFormat.LANGFUSE, [*LANGFUSE, kept])
    assert [(one.outcome, one.notes, one.problems) for one in tried] == [
        (one.outcome, one.notes, one.problems) for one in done
    ]
    assert [one.prompt_id is not None for one in tried] == [one.name == "Kept" for one in tried]


async def test_a_name_that_is_taken_is_merged_renamed_or_refused(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    prompt = await carla.ask(CreatePrompt(name="Mine", first_version=FirstVersion(content="a")))
    await carla.ask(MoveLabel(prompt_id=prompt.id, label="production", version=1))
    items: Items = [
        {"name": "Mine", "version": 5, "prompt": "b", "labels": ["production", "staging"]},
        {"name": "User", "version": 1, "prompt": "@@@langfusePrompt:name=Mine|version=5@@@"},
    ]
    refused = await take(carla, ImportFormat.LANGFUSE, items[:1], on_conflict=OnConflict.REFUSE)
    assert [(one.outcome.value, one.problems[0].code) for one in refused] == [("refused", "name_taken")]
    renamed = await take(carla, ImportFormat.LANGFUSE, items, on_conflict=OnConflict.RENAME)
    assert [(one.outcome.value, one.stored_as) for one in renamed] == [("renamed", "Mine (2)"), ("taken", "User")]
    assert renamed[1].prompt_id is not None
    user = await carla.ask(GetVersion(prompt_id=renamed[1].prompt_id, version=1))
    assert user.content == "{{> Mine (2)@1}}", "it includes what was imported with it"
    merged = await take(carla, ImportFormat.LANGFUSE, items[:1])
    assert [(one.outcome.value, one.versions_added, one.labels_set) for one in merged] == [("merged", 1, ("staging",))]
    labels = await carla.ask(ListLabels(prompt_id=prompt.id))
    assert {(one.label, one.version) for one in labels.items} == {("production", 1), ("staging", 2)}
    chat: Items = [{"name": "Mine", "version": 1, "prompt": [{"role": "user", "content": "x"}]}]
    assert (await take(carla, ImportFormat.LANGFUSE, chat))[0].problems[0].code == "name_taken"


async def test_an_editor_imports_without_the_labels_that_are_protected(branches: Branches) -> None:
    olga, _ = await branches.person("olga")
    edda, _ = await branches.person("edda", Role.USER)
    await edda.ask(UpdateProfile(handle="the-edda"))
    project = await project_of(olga, "Shared")
    await olga.ask(AddMember(project_id=project.id, handle="the-edda", roles=(ProjectRole.EDITOR,)))
    (one,) = await take(
        edda,
        ImportFormat.LANGFUSE,
        [{"name": "x", "version": 1, "prompt": "a", "labels": ["production", "staging"]}],
        project_id=project.id,
    )
    assert (one.labels_set, [note.pointer for note in one.notes]) == (("staging",), ["/labels/production"])
    stranger, _ = await branches.person("stranger")
    wanted = ImportPrompts(format=ImportFormat.LANGFUSE, items=({"name": "x"},), project_id=project.id)
    assert await raised(stranger, wanted) == "not_found"


async def test_a_prompt_whose_second_version_is_bad_is_not_taken_by_half(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    items: Items = [
        {"name": "Half", "version": 1, "prompt": "fine"},
        {"name": "Half", "version": 2, "prompt": "{{> Nobody@1}}"},
        {"name": "Whole", "version": 1, "prompt": "fine"},
    ]
    report = await take(carla, ImportFormat.LANGFUSE, items)
    assert [one.outcome.value for one in report] == ["refused", "taken"]
    assert [one.name for one in (await carla.ask(ListPrompts())).items] == ["Whole"]
    assert await branches.count("prompt_versions") == 1


async def test_an_export_leaves_out_what_is_archived_and_old(branches: Branches) -> None:
    carla, _ = await branches.person("carla")
    project = await project_of(carla, "Long")
    gone = await carla.ask(CreatePrompt(name="Gone", project_id=project.id))
    await carla.ask(ArchivePrompt(prompt_id=gone.id))
    prompt = await carla.ask(CreatePrompt(name="Long", project_id=project.id))
    for number in range(1, 106):
        await carla.ask(CreateVersion(prompt_id=prompt.id, content=f"text {number}"))
    await carla.ask(MoveLabel(prompt_id=prompt.id, label="old", version=2))
    (long,) = await exported(carla, project.id)
    numbers = [version["version"] for version in long["versions"]]
    assert (numbers, long["versions_left_out"]) == ([2, *range(6, 106)], 4)
