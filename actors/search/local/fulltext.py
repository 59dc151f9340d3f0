"""The index of words: its schema, what is written, and what is read back. In memory, made anew at each start."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import orjson
import tantivy

from promptforge.actors.search.local.words import analyser, grams, normal
from promptforge.actors.search.messages import Kind, Offer, SearchDocument

HEAP_BYTES = 30_000_000
SCHEMA_VERSION = 2
"""To be counted up with what is written below: processes tell it apart in `/ops/search`."""
STORED_CHARACTERS = 2000
"""Of a body, for what is shown of it."""
GRAM_CHARACTERS = 4000
FACETS = ("kind", "category", "licence", "sells", "price", "rating", "scorecard")
_FACET_FIELDS = {"price": "price_band", "rating": "stars_band"}
MOST_VALUES = 20
BANDS = (("free", 0), ("up_to_10", 10_000), ("up_to_50", 50_000), ("up_to_200", 200_000))
"""Of prices: up to so many millicredits."""
ABOVE = "above_200"
YES, NO = "yes", "no"


def facet_field(facet: str) -> str:
    return _FACET_FIELDS.get(facet, facet)


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("number", indexed=True, fast=True)
    for name in ("title", "names", "tags", "summary", "all"):
        builder.add_text_field(name, tokenizer_name="words", index_option="freq")
    builder.add_text_field("plain", tokenizer_name="plain", index_option="basic")
    builder.add_text_field("grams", tokenizer_name="grams", index_option="freq")
    for name in ("audience", "tag"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    for facet in FACETS:
        builder.add_text_field(facet_field(facet), tokenizer_name="raw", index_option="basic", fast=True)
    for name in ("price", "stars"):
        builder.add_integer_field(name, indexed=True, fast=True)
    for name in ("changed", "published", "trending", "sales", "rated"):
        builder.add_integer_field(name, fast=True)
    builder.add_bytes_field("stored", stored=True)
    return builder.build()


SCHEMA = _schema()


class FullText:
    """One thread writes; any number read, each what was committed when it began."""

    def __init__(self) -> None:
        self._index = tantivy.Index(SCHEMA)
        self._index.register_tokenizer("words", analyser(stemmed=True))
        self._index.register_tokenizer("plain", analyser(stemmed=False))
        self._index.register_tokenizer("grams", tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build())
        self._index.config_reader("manual")
        self._writer = self._index.writer(HEAP_BYTES, 1)

    def searcher(self) -> tantivy.Searcher:
        return self._index.searcher()

    def put(self, numbers: Sequence[int], documents: Sequence[SearchDocument], known: Iterable[int]) -> None:
        """`known`: the numbers that may be in the index already."""
        self.remove(known)
        for number, document in zip(numbers, documents, strict=True):
            self._writer.add_document(_written(number, document))

    def remove(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._writer.delete_documents_by_term("number", number)

    def commit(self) -> None:
        self._writer.commit()
        self._index.reload()


def _written(number: int, document: SearchDocument) -> tantivy.Document:
    made = tantivy.Document()
    made.add_integer("number", number)
    made.add_text("kind", document.kind.value)
    made.add_text("audience", document.audience)
    made.add_integer("changed", _moment(document.changed_at))
    title, summary = normal(document.title), normal(document.summary)
    names, tags = normal(" ".join(document.names)), normal(" ".join(document.tags))
    everything = " \n".join((title, names, tags, summary, normal(document.body)))
    for field, text in (("title", title), ("names", names), ("tags", tags), ("summary", summary), ("all", everything)):
        if text:
            made.add_text(field, text)
    made.add_text("plain", f"{title} {names}")
    if found := grams(everything[:GRAM_CHARACTERS]):
        made.add_text("grams", " ".join(found))
    for tag in document.tags:
        made.add_text("tag", tag)
    if document.offer is None:
        made.add_integer("sales", 0)
    else:
        _write_offer(made, document.offer)
    made.add_bytes("stored", orjson.dumps(replace(document, body=document.body[:STORED_CHARACTERS])))
    return made


def _write_offer(made: tantivy.Document, offer: Offer) -> None:
    made.add_text("category", offer.category)
    made.add_text("licence", offer.licence)
    made.add_text("sells", offer.sells)
    made.add_text("scorecard", YES if offer.scorecard else NO)
    made.add_text("price_band", next((name for name, most in BANDS if offer.price <= most), ABOVE))
    if offer.stars:
        made.add_text("stars_band", str(offer.stars // 1000))
    numbers = {
        "price": offer.price,
        "stars": offer.stars,
        "published": _moment(offer.published_at),
        "trending": offer.trending,
        "sales": offer.sales,
        "rated": offer.rated,
    }
    for name, value in numbers.items():
        made.add_integer(name, value)


def _moment(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp() * 1000)


def read_back(searcher: tantivy.Searcher, address: tantivy.DocAddress) -> tuple[SearchDocument, str]:
    """What was put but for the body, and the beginning of that."""
    row = orjson.loads(searcher.doc(address).get_first("stored") or b"{}")
    offer = row["offer"]
    if offer is not None:
        offer = Offer(**{**offer, "published_at": datetime.fromisoformat(offer["published_at"])})
    document = SearchDocument(
        kind=Kind(row["kind"]),
        id=row["id"],
        audience=row["audience"],
        title=row["title"],
        changed_at=datetime.fromisoformat(row["changed_at"]),
        summary=row["summary"],
        tags=tuple(row["tags"]),
        names=tuple(row["names"]),
        offer=offer,
    )
    return document, row["body"]
