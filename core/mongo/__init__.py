"""MongoDB: the only folder that knows the driver. One client, transactions, indexes, migrations, changes."""

from promptforge.core.mongo.changes import Change, ChangeFeed
from promptforge.core.mongo.client import Mongo
from promptforge.core.mongo.collections import Collection, Document, Rows, Session, UpdateOne
from promptforge.core.mongo.documents import Unstorable, stored_size
from promptforge.core.mongo.embedded import EmbeddedMongod, start_embedded
from promptforge.core.mongo.errors import DatabaseBusy, DuplicateKey, translate
from promptforge.core.mongo.files import INDEXES as FILE_INDEXES
from promptforge.core.mongo.files import FileBroken, Files, FileWriter, StoredFile
from promptforge.core.mongo.indexes import (
    Index,
    IndexDifference,
    compare_indexes,
    drop_index,
    drop_indexes_in_the_way,
    ensure_indexes,
)
from promptforge.core.mongo.migrations import Migration, prepare_migrations, refuse_unmigrated, run_migrations
from promptforge.core.mongo.patience import patient_rows, patiently
from promptforge.core.mongo.pulse import Pulse
from promptforge.core.mongo.snapshots import read_snapshot
from promptforge.core.mongo.tallies import Tallies
from promptforge.core.mongo.transactions import run_transaction

__all__ = [
    "FILE_INDEXES",
    "Change",
    "ChangeFeed",
    "Collection",
    "DatabaseBusy",
    "Document",
    "DuplicateKey",
    "EmbeddedMongod",
    "FileBroken",
    "FileWriter",
    "Files",
    "Index",
    "IndexDifference",
    "Migration",
    "Mongo",
    "Pulse",
    "Rows",
    "Session",
    "StoredFile",
    "Tallies",
    "Unstorable",
    "UpdateOne",
    "compare_indexes",
    "drop_index",
    "drop_indexes_in_the_way",
    "ensure_indexes",
    "patient_rows",
    "patiently",
    "prepare_migrations",
    "read_snapshot",
    "refuse_unmigrated",
    "run_migrations",
    "run_transaction",
    "start_embedded",
    "stored_size",
    "translate",
]
