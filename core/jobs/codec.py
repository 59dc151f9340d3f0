"""Messages to job payloads and back: stable kind names, versioned payloads, BSON-friendly values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
import structlog
from pydantic import TypeAdapter, ValidationError

from promptforge.core.errors import PromptForgeError
from promptforge.core.jobs.outcomes import PayloadTooLarge
from promptforge.core.jobs.policy import DEFAULT_POLICY, JobPolicy, policy_of
from promptforge.core.jobs.sealing import NO_SEALER, Sealer
from promptforge.core.messages import Message
from promptforge.core.mongo import Unstorable, stored_size

MAX_PAYLOAD_BYTES = 256 * 1024
MAX_RESULT_BYTES = 64 * 1024


log = structlog.get_logger(__name__)


class UnknownKind(PromptForgeError):
    """This version of the process does not know the job's kind; another one may."""

    code = "unknown_job_kind"


class UndecodablePayload(PromptForgeError):
    """The stored payload does not have the message's shape; running it again cannot help."""

    code = "undecodable_payload"


class Codec:
    """Knows every message that can be a job: those with a handler in this process."""

    def __init__(self, messages: Iterable[type[Message[Any]]], *, sealer: Sealer = NO_SEALER) -> None:
        self._by_kind: dict[str, type[Message[Any]]] = {}
        self._adapters: dict[str, TypeAdapter[Any]] = {}
        self._sealer = sealer
        self.add(messages)

    def add(self, messages: Iterable[type[Message[Any]]]) -> None:
        """Know these kinds too."""
        self._by_kind.update((message.message_kind, message) for message in messages)

    def message_type(self, kind: str) -> type[Message[Any]] | None:
        return self._by_kind.get(kind)

    def policy(self, kind: str) -> JobPolicy:
        """What its message declares, or the default for a kind that is not known here."""
        message = self._by_kind.get(kind)
        return DEFAULT_POLICY if message is None else policy_of(message)

    def queues(self) -> frozenset[str]:
        """Every queue that a known message is enqueued to."""
        return frozenset(policy_of(message).queue for message in self._by_kind.values())

    def encode(self, message: Message[Any]) -> dict[str, Any] | bytes:
        """The message's fields as JSON values, or sealed where its policy says so.

        Raises `PayloadTooLarge`, or `Unstorable` for what MongoDB has no type for.
        """
        encoded: dict[str, Any] = self._adapter(type(message)).dump_python(message, mode="json")
        size = stored_size(encoded)
        if size > MAX_PAYLOAD_BYTES:
            raise PayloadTooLarge(
                f"{message.message_kind} is {size} bytes as a job, and {MAX_PAYLOAD_BYTES} is the most: "
                "store the content and enqueue its id"
            )
        return self._sealer.seal(orjson.dumps(encoded)) if policy_of(type(message)).sensitive else encoded

    def decode(self, kind: str, version: int, payload: Mapping[str, Any] | bytes) -> Message[Any]:
        """Raises `UnknownKind` (also for a newer version than ours) or `UndecodablePayload`."""
        message = self._by_kind.get(kind)
        if message is None or version > message.message_version:
            raise UnknownKind(f"{kind} version {version} is not known here")
        if isinstance(payload, bytes):
            payload = self._unsealed(kind, payload)
        try:
            if version < message.message_version:
                payload = message.upgrade(payload, version)
            decoded: Message[Any] = self._adapter(message).validate_python(payload)
        except ValidationError as error:
            fields = ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors(include_input=False))
            raise UndecodablePayload(f"{kind} version {version} does not fit: {fields}") from None
        except Exception as error:  # the message's own code: `upgrade`, or a check in its constructor
            log.exception("job.undecodable", kind=kind, version=version)
            raise UndecodablePayload(f"{kind} version {version} does not fit: {type(error).__name__}") from None
        return decoded

    def encode_result(self, message: type[Message[Any]], reply: object) -> Any:  # Any: JSON values, or sealed
        """A handler's reply as the job keeps it; what is no JSON value or larger than 64 KiB is left out."""
        if reply is None:
            return None
        try:
            raw = orjson.dumps(reply)
            if policy_of(message).sensitive:
                result, size = self._sealer.seal(raw), len(raw)
            else:
                result = orjson.loads(raw)
                size = stored_size({"result": result})
        except (TypeError, Unstorable) as error:
            log.warning("job.result_not_kept", kind=message.message_kind, reason=str(error))
            return None
        if size > MAX_RESULT_BYTES:
            log.warning("job.result_not_kept", kind=message.message_kind, reason="too large", bytes=size)
            return None
        return result

    def _unsealed(self, kind: str, payload: bytes) -> Mapping[str, Any]:
        raw = self._sealer.unseal(payload)
        if raw is None:
            raise UndecodablePayload(f"{kind} is sealed with a key that this process does not have")
        fields: dict[str, Any] = orjson.loads(raw)
        return fields

    def _adapter(self, message: type[Message[Any]]) -> TypeAdapter[Any]:
        adapter = self._adapters.get(message.message_kind)
        if adapter is None:
            adapter = self._adapters[message.message_kind] = TypeAdapter(message)
        return adapter
