"""OpenAI's stored prompts, in the shapes in which people can get hold of them; each item is a version.

OpenAI has no endpoint that lists or exports them: the API takes a reference (`prompt: {id, version, variables}`) and
nothing more, and `v1/prompts` ends on 2026-11-30. What there is: the request that its dashboard shows as code, or that
one's own code sends once the text was moved into it; and a response that a stored prompt has made (`GET
/v1/responses/{id}`), which holds what the model was told under `instructions`. A reference alone has no text, and is
refused with that said.
"""

from __future__ import annotations

from collections.abc import Sequence

from promptforge.actors.prompts.exchange.drafts import Draft
from promptforge.actors.prompts.exchange.parts import Item, Json, by_prompt, take_response_format, tools_of

_TEXT_PARTS = ("input_text", "output_text", "text")  # no set: what is looked for in it may be a list
_SETTINGS = (
    ("model", "model"),
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("max_output_tokens", "max_tokens"),
    ("max_completion_tokens", "max_tokens"),
    ("max_tokens", "max_tokens"),
)
_LISTS = ("messages", "input", "prompt")
_KNOWN = frozenset(
    {
        *("id", "name", "title", "object", "version", "created_at", "updated_at", "description"),
        *("is_default", "default", "instructions", "tools", "text", "response_format", "variables"),
        *(name for name, _ in _SETTINGS),
        *_LISTS,
    }
)


def read_openai(items: Sequence[Item]) -> list[Draft]:
    return by_prompt([_numbered(item) for item in items], _name_of, _version)


def _reference(item: Item) -> Item:
    """Which stored prompt it is, or was made with. OpenAI's own pages say `id` in one place, `prompt_id` in another."""
    prompt = item.get("prompt")
    return prompt if isinstance(prompt, dict) else {}


def _name_of(item: Item) -> Json:
    reference = _reference(item)
    own = None if _is_response(item) else item.get("id")  # a response's id is that of the answer
    return item.get("name") or item.get("title") or reference.get("id") or reference.get("prompt_id") or own


def _numbered(item: Item) -> Item:
    version = _reference(item).get("version")
    return item if version is None or "version" in item else {**item, "version": version}


def _is_response(item: Item) -> bool:
    return item.get("object") == "response"


def _version(draft: Draft, item: Item, number: int) -> None:
    draft.shape["kind"] = "chat"
    messages = _messages(draft, item)
    if not messages and not draft.problems:
        told = "This names a stored prompt and does not hold its text, which OpenAI's API hands out to nobody"
        other = "This holds no text: neither instructions nor messages"
        draft.refuse("no_content", told if _reference(item) else other, "/prompt" if _reference(item) else "/messages")
    version: Item = {"version": number, "content": messages, "settings": {}}
    for name, ours in _SETTINGS:
        if item.get(name) is not None:
            version["settings"][ours] = item[name]
    if item.get("tools"):
        version["tools"] = tools_of(draft, item["tools"], "/tools")
    text = item.get("text")
    if isinstance(text, dict) and text.get("format"):
        take_response_format(draft, version, text["format"], "/text/format")
    elif item.get("response_format"):
        take_response_format(draft, version, item["response_format"], "/response_format")
    _variables(draft, version, item)
    _tell_of_the_rest(draft, item)
    draft.shape["versions"].append(version)
    if item.get("is_default") or item.get("default"):
        draft.label("production", number, "/is_default")


def _messages(draft: Draft, item: Item) -> list[Item]:
    """The instructions first, as what the developer says; then the messages, under whichever name they stand."""
    messages: list[Item] = []
    instructions = item.get("instructions")
    if isinstance(instructions, str) and instructions:
        messages.append({"role": "developer", "content": instructions})
    elif isinstance(instructions, list):
        messages += _listed(draft, instructions, "/instructions")
    elif instructions:
        draft.refuse("not_a_text", "Instructions are a text or a list of messages", "/instructions")
    for name in _LISTS:
        if isinstance(item.get(name), list):
            return messages + _listed(draft, item[name], f"/{name}")
    said = item.get("input")
    return [*messages, {"role": "user", "content": said}] if isinstance(said, str) and said else messages


def _listed(draft: Draft, listed: list[Json], pointer: str) -> list[Item]:
    messages: list[Item] = []
    for index, message in enumerate(listed):
        text = _parts(message.get("content")) if isinstance(message, dict) else None
        if text is None:
            draft.refuse("not_a_text", "Only messages of text can be taken", f"{pointer}/{index}")
        else:
            messages.append({"role": message.get("role"), "content": text})
    return messages


def _parts(content: Json) -> str | None:
    """The text of a message; None where it holds something else."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    parts = [part for part in content if isinstance(part, dict) and part.get("type") in _TEXT_PARTS]
    texts = [text for part in parts if isinstance(text := part.get("text"), str)]
    return "\n".join(texts) if len(texts) == len(content) else None


def _variables(draft: Draft, version: Item, item: Item) -> None:
    """Declared where they are still in the text. A response has their values there instead, which is said."""
    if _is_response(item):
        if _reference(item).get("variables"):
            draft.note("/prompt/variables", "The text has their values in it: put the variables back where they stood")
        return
    own = item.get("variables")
    variables = own if isinstance(own, dict) else _reference(item).get("variables")
    if isinstance(variables, dict):
        version["variables"] = [_variable(draft, name, value) for name, value in variables.items()]


def _variable(draft: Draft, name: str, value: Json) -> Item:
    """Stored prompts say a default text, or nothing, of a variable; of files and pictures there are none here."""
    if isinstance(value, dict) and value.get("type") == "input_text":
        value = value.get("text")
    if isinstance(value, str) and value:
        return {"name": name, "default": value}
    if value is not None and not isinstance(value, str):
        draft.note(f"/variables/{name}", "What it says of the variable was left out: it is a text here")
    return {"name": name}


def _tell_of_the_rest(draft: Draft, item: Item) -> None:
    if _is_response(item):
        draft.note("", "Of a response what the model was told is taken: what it answered, and how, was left out")
        return
    for name in [name for name in item if name not in _KNOWN]:
        draft.note(f"/{name}", "It has no counterpart here: it was left out")
