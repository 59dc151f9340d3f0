"""The client of a provider's SDK, made when it is first asked for: importing an SDK takes seconds."""

from __future__ import annotations

import importlib
import threading
from typing import Any, Generic, TypeVar

import anyio.to_thread

CONNECT_SECONDS = 5.0
READ_SECONDS = 120.0
"""Between two reads. How long an answer may take is the guard's business, which is stricter."""

ClientT = TypeVar("ClientT")


class SdkClient(Generic[ClientT]):
    """`sdk` is the module's name, `client` that of its class. Retries are the guard's, so the SDK's are off."""

    def __init__(self, sdk: str, client: str, api_key: str, base_url: str | None) -> None:
        self._sdk = sdk
        self._client = client
        self._api_key = api_key
        self._base_url = base_url
        self._made: ClientT | None = None
        self._making = threading.Lock()

    def module(self) -> Any:  # Any: a module
        return importlib.import_module(self._sdk)

    async def get(self) -> ClientT:
        """Imports beside the event loop."""
        return self._made if self._made is not None else await anyio.to_thread.run_sync(self._make)

    def _make(self) -> ClientT:
        with self._making:
            if self._made is None:
                sdk = self.module()
                timeout = sdk.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
                make: Any = getattr(sdk, self._client)  # Any: the module's class, which is `ClientT`
                self._made = make(api_key=self._api_key, base_url=self._base_url, timeout=timeout, max_retries=0)
            made: Any = self._made
            return made  # type: ignore[no-any-return]  # as above

    async def close(self) -> None:
        """Until somebody asks again."""
        made: Any = self._made  # Any: both SDKs' clients have this method, and no base in common
        self._made = None
        if made is not None:
            await made.close()
