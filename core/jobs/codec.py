"""Messages to job payloads and back: stable kind names, versioned payloads, BSON-friendly values."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from promptforge.core.errors import PromptForgeError
from promptforge.core.messages import Message

MAX_PAYLOAD_BYTES = 256 * 1024


class UnknownKind(PromptForgeError):
    """This version of the process does not know the job's kind; another one may."""

    code = "unknown_job_kind"


class UndecodablePayload(PromptForgeError):
    """The stored payload does not have the message's shape; running it again cannot help."""

    code = "undecodable_payload"


class Codec:
    """Knows every message that can be a job: those with a handler in this process."""

    def __init__(self, messages: Iterable[type[Message[Any]]]) -> None:
        self._by_kind: dict[str, type[Message[Any]]] = {}
        self._adapters: dict[str, TypeAdapter[Any]] = {}
        self.add(messages)

    def add(self, messages: Iterable[type[Message[Any]]]) -> None:
        """Know these kinds too."""
        self._by_kind.update((message.message_kind, message) for message in messages)

    def encode(self, message: Message[Any]) -> dict[str, Any]:
        """The message's fields as JSON values; the document carries kind and version beside them."""
        encoded: dict[str, Any] = self._adapter(type(message)).dump_python(message, mode="json")
        return encoded

    def decode(self, kind: str, version: int, payload: Mapping[str, Any]) -> Message[Any]:
        """Raises `UnknownKind` (also for a newer version than ours) or `UndecodablePayload`."""
        message = self._by_kind.get(kind)
        if message is None or version > message.message_version:
            raise UnknownKind(f"{kind} version {version} is not known here")
        if version < message.message_version:
            payload = message.upgrade(payload, version)
        try:
            decoded: Message[Any] = self._adapter(message).validate_python(dict(payload))
        except ValidationError as error:
            fields = ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors(include_input=False))
            raise UndecodablePayload(f"{kind} version {version} does not fit: {fields}") from None
        return decoded

    def _adapter(self, message: type[Message[Any]]) -> TypeAdapter[Any]:
        adapter = self._adapters.get(message.message_kind)
        if adapter is None:
            adapter = self._adapters[message.message_kind] = TypeAdapter(message)
        return adapter


def encode_result(reply: object) -> Any:  # Any: JSON values
    """A handler's reply as the job keeps it: dataclasses as mappings, anything else only if it is JSON already."""
    if dataclasses.is_dataclass(reply) and not isinstance(reply, type):
        return TypeAdapter(type(reply)).dump_python(reply, mode="json")
    return reply if isinstance(reply, (str, int, float, bool, type(None))) else None
