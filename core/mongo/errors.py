"""The driver's errors as this service knows them; nobody outside this folder catches an error of the driver."""

from __future__ import annotations

from pymongo import errors as driver

from promptforge.core.errors import ConfigurationError, DatabaseUnavailable, PromptForgeError

DuplicateKey = driver.DuplicateKeyError
"""A unique index refused a write. Inside a transaction it has aborted the transaction."""

_OUTAGES = (
    driver.ConnectionFailure,  # with AutoReconnect, NotPrimaryError, NetworkTimeout, ServerSelectionTimeoutError
    driver.WaitQueueTimeoutError,
    driver.ExecutionTimeout,
    driver.WTimeoutError,
)
_OUTAGE_CODES = frozenset({
    6, 7, 89, 91, 189, 262, 317, 9001, 10107, 11600, 11602, 13435, 13436,  # no host, shutting down, not primary …
    211,  # KeyNotFound while the set is being initiated
    239, 246,  # SnapshotTooOld, SnapshotUnavailable
})  # fmt: skip
"""Server codes that say "not now" (MongoDB's error_codes.yml, categories RetriableError and NotPrimaryError)."""
_AUTHENTICATION_FAILED = 18


class DatabaseBusy(DatabaseUnavailable):
    """A transaction conflicted with others until its time was up; nothing was written."""

    code = "database_busy"
    title = "Too many are changing the same thing at once; try again shortly"


def translate(error: BaseException) -> PromptForgeError | None:
    """A driver's outage as `DatabaseUnavailable`; None for anything else."""
    if isinstance(error, _OUTAGES):
        return DatabaseUnavailable()
    if isinstance(error, driver.OperationFailure) and (
        error.code in _OUTAGE_CODES or error.has_error_label("TransientTransactionError")
    ):
        return DatabaseUnavailable()
    return None


def refusal(error: driver.PyMongoError, where: str) -> ConfigurationError:
    """Why a process cannot start with this MongoDB, in one line and without the password."""
    if isinstance(error, driver.OperationFailure) and error.code == _AUTHENTICATION_FAILED:
        return ConfigurationError(f"MongoDB at {where} refuses the user name or the password")
    if isinstance(error, driver.ServerSelectionTimeoutError):
        return ConfigurationError(f"MongoDB at {where} does not answer, or has no primary")
    return ConfigurationError(f"MongoDB at {where} cannot be used: {type(error).__name__}")
