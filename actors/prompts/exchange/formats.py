"""What other registries export, as our own shape. Nothing is guessed: what has no counterpart is noted or refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from promptforge.actors.prompts.exchange.drafts import Draft, Parsed, finished
from promptforge.actors.prompts.exchange.messages import ImportFormat

Json = Any  # whatever JSON can be
Item = dict[str, Json]

_LANGFUSE_INCLUDE = re.compile(r"@@@langfusePrompt:name=([^|@]{1,200})\|(?:version|label)=([^|@]{1,60})@@@")
_TEXT_PARTS = frozenset({"input_text", "output_text", "text"})


def parse(kind: ImportFormat, items: Sequence[Item]) -> list[Parsed]:
    """The prompts of an import, in the order of their first items."""
    return [finished(draft) for draft in _READERS[kind](items)]


# Our own


def _own(items: Sequence[Item]) -> list[Draft]:
    return [Draft([index], item) for index, item in enumerate(items)]


# Langfuse: each item is a version


def _langfuse(items: Sequence[Item]) -> list[Draft]:
    return _by_prompt(items, lambda item: item.get("name"), _langfuse_version)


def _langfuse_version(draft: Draft, item: Item, number: int) -> None:
    content = item.get("prompt")
    if content is None:
        draft.refuse("no_content", "This has no `prompt`: export the version itself, not the list of names", "/prompt")
        return
    kind = item.get("type", "text" if isinstance(content, str) else "chat")
    if draft.shape.setdefault("kind", kind) != kind:
        draft.refuse("mixed_kinds", "Versions of one prompt are texts or chats, not both", "/type")
    name = draft.shape["name"]
    if isinstance(name, str) and "/" in name and not draft.shape["folder"]:
        draft.shape["folder"] = name.rpartition("/")[0]
    version: Item = {"version": number, "content": _langfuse_content(draft, content)}
    if item.get("commitMessage"):
        version["message"] = str(item["commitMessage"])[:500]
    _config(draft, version, item.get("config"))
    draft.shape["versions"].append(version)
    draft.shape["tags"] = item.get("tags") or []
    for index, label in enumerate(item.get("labels") or []):
        draft.label(label, number, f"/labels/{index}")


def _langfuse_content(draft: Draft, content: Json) -> Json:
    def text(value: Json) -> Json:
        return _LANGFUSE_INCLUDE.sub(r"{{> \1@\2}}", value) if isinstance(value, str) else value

    if not isinstance(content, list):
        return text(content)
    messages = []
    for index, message in enumerate(content):
        if not isinstance(message, dict) or message.get("type") == "placeholder" or "role" not in message:
            detail = "A placeholder for messages has no counterpart here"
            draft.refuse("placeholder", detail, f"/prompt/{index}")
        else:
            messages.append({"role": message["role"], "content": text(message.get("content"))})
    return messages


def _config(draft: Draft, version: Item, config: Json) -> None:
    if not config:
        return
    if not isinstance(config, dict):
        draft.note("/config", "It is no object, and was left out")
        return
    settings: Item = {}
    for name, value in config.items():
        if name in {"model", "temperature", "top_p"}:
            settings[name] = value
        elif name in {"max_tokens", "max_completion_tokens", "max_output_tokens"}:
            settings["max_tokens"] = value
        elif name == "tools":
            version["tools"] = _tools(draft, value, "/config/tools")
        elif name == "response_format":
            _response_format(draft, version, value, "/config/response_format")
        else:
            draft.note(f"/config/{name}", "There is no such setting here: it was left out")
    version["settings"] = settings


# OpenAI stored prompts: each item is a version


def _openai(items: Sequence[Item]) -> list[Draft]:
    return _by_prompt(items, lambda item: item.get("name") or item.get("title") or item.get("id"), _openai_version)


def _openai_version(draft: Draft, item: Item, number: int) -> None:
    draft.shape["kind"] = "chat"
    messages: list[Item] = []
    if item.get("instructions"):
        messages.append({"role": "developer", "content": item["instructions"]})
    listed: list[Json] = next(
        (item[name] for name in ("messages", "input", "prompt") if isinstance(item.get(name), list)), []
    )
    for index, message in enumerate(listed):
        text = _parts(message.get("content")) if isinstance(message, dict) else None
        if text is None:
            draft.refuse("not_a_text", "Only messages of text can be taken", f"/messages/{index}")
        else:
            messages.append({"role": message.get("role"), "content": text})
    version: Item = {"version": number, "content": messages, "settings": {}}
    for name, ours in (
        ("model", "model"),
        ("temperature", "temperature"),
        ("top_p", "top_p"),
        ("max_output_tokens", "max_tokens"),
    ):
        if item.get(name) is not None:
            version["settings"][ours] = item[name]
    if item.get("tools"):
        version["tools"] = _tools(draft, item["tools"], "/tools")
    text_format = item["text"].get("format") if isinstance(item.get("text"), dict) else None
    if text_format:
        _response_format(draft, version, text_format, "/text/format")
    variables = item.get("variables")
    if isinstance(variables, dict):
        version["variables"] = [_variable(draft, name, value) for name, value in variables.items()]
    for name in item.keys() - _OPENAI_KNOWN:
        draft.note(f"/{name}", "It has no counterpart here: it was left out")
    draft.shape["versions"].append(version)
    if item.get("is_default") or item.get("default"):
        draft.label("production", number, "/is_default")


_OPENAI_KNOWN = frozenset(
    {
        *(
            "id",
            "name",
            "title",
            "object",
            "version",
            "created_at",
            "updated_at",
            "description",
            "is_default",
            "default",
        ),
        *("instructions", "messages", "input", "prompt", "tools", "text", "variables"),
        *("model", "temperature", "top_p", "max_output_tokens"),
    }
)


def _parts(content: Json) -> str | None:
    """The text of a message; None where it holds something else."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    parts = [part for part in content if isinstance(part, dict) and part.get("type") in _TEXT_PARTS]
    texts = [text for part in parts if isinstance(text := part.get("text"), str)]
    return "\n".join(texts) if len(texts) == len(content) else None


def _variable(draft: Draft, name: str, value: Json) -> Item:
    """Stored prompts say a default text, or nothing, of a variable; of files and pictures there are none here."""
    if isinstance(value, str) and value:
        return {"name": name, "default": value}
    if value is not None and not isinstance(value, str):
        draft.note(f"/variables/{name}", "What it says of the variable was left out: it is a text here")
    return {"name": name}


# What both have


def _by_prompt(
    items: Sequence[Item], name_of: Callable[[Item], Json], read: Callable[[Draft, Item, int], None]
) -> list[Draft]:
    """Items of one name are versions of one prompt, in the order of their numbers."""
    groups: dict[object, list[int]] = {}
    for index, item in enumerate(items):
        name = name_of(item)
        groups.setdefault(name if isinstance(name, str) else index, []).append(index)
    drafts = []
    for indexes in groups.values():
        name = name_of(items[indexes[0]])
        description = items[indexes[0]].get("description")
        shape: Item = {"name": name, "folder": "", "tags": [], "versions": [], "labels": {}}
        if isinstance(description, str) and description:
            shape["description"] = description[:2000]
        draft = Draft(indexes, shape)
        numbered = sorted((_number(items[index], place), index) for place, index in enumerate(indexes, 1))
        if len({number for number, _ in numbered}) < len(numbered):
            draft.refuse("repeated", "Two items are the same version of one prompt", "/version")
        for number, index in numbered:
            read(draft, items[index], number)
        drafts.append(draft)
    return drafts


def _number(item: Item, otherwise: int) -> int:
    version = item.get("version")
    if isinstance(version, str) and version.isascii() and version.isdigit():
        version = int(version[:7])
    return version if isinstance(version, int) and not isinstance(version, bool) and version > 0 else otherwise


def _tools(draft: Draft, tools: Json, pointer: str) -> list[Item]:
    taken = []
    for index, tool in enumerate(tools if isinstance(tools, list) else []):
        function = tool.get("function", tool) if isinstance(tool, dict) else None
        if not isinstance(function, dict) or tool.get("type", "function") != "function":
            draft.note(f"{pointer}/{index}", "Only functions can be taken: this tool was left out")
            continue
        taken.append({name: function[name] for name in ("name", "description", "parameters") if function.get(name)})
    return taken


def _response_format(draft: Draft, version: Item, said: Json, pointer: str) -> None:
    kind = said.get("type") if isinstance(said, dict) else None
    if kind == "json_schema":
        inner = said.get("json_schema", said)
        version["response_schema"] = inner.get("schema") if isinstance(inner, dict) else None
    elif kind != "text":
        draft.note(pointer, "Only a JSON Schema can be taken: this was left out")


_READERS: dict[ImportFormat, Callable[[Sequence[Item]], list[Draft]]] = {
    ImportFormat.PROMPTFORGE: _own,
    ImportFormat.LANGFUSE: _langfuse,
    ImportFormat.OPENAI: _openai,
}
