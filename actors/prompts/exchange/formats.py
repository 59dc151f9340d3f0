"""What other registries export, as our own shape. Nothing is guessed: what has no counterpart is noted or refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from promptforge.actors.prompts.exchange.drafts import Draft, Parsed, finished
from promptforge.actors.prompts.exchange.messages import ImportFormat
from promptforge.actors.prompts.exchange.openai import read_openai
from promptforge.actors.prompts.exchange.parts import Item, Json, by_prompt, listed, take_response_format, tools_of

_LANGFUSE_INCLUDE = re.compile(r"@@@langfusePrompt:name=([^|@]{1,200})\|(?:version|label)=([^|@]{1,60})@@@")


def parse(kind: ImportFormat, items: Sequence[Item]) -> list[Parsed]:
    """The prompts of an import, in the order of their first items."""
    return [finished(draft) for draft in _READERS[kind](items)]


# Our own


def _own(items: Sequence[Item]) -> list[Draft]:
    return [Draft([index], item) for index, item in enumerate(items)]


# Langfuse: each item is a version


def _langfuse(items: Sequence[Item]) -> list[Draft]:
    return by_prompt(items, lambda item: item.get("name"), _langfuse_version)


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
    for index, label in enumerate(listed(draft, item.get("labels"), "/labels")):
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
            version["tools"] = tools_of(draft, value, "/config/tools")
        elif name == "response_format":
            take_response_format(draft, version, value, "/config/response_format")
        else:
            draft.note(f"/config/{name}", "There is no such setting here: it was left out")
    version["settings"] = settings


_READERS: dict[ImportFormat, Callable[[Sequence[Item]], list[Draft]]] = {
    ImportFormat.PROMPTFORGE: _own,
    ImportFormat.LANGFUSE: _langfuse,
    ImportFormat.OPENAI: read_openai,
}
