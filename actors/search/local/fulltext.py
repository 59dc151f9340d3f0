"""The index of words: its schema, what is written, and what is read back. In memory, made anew at each start."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import tantivy

from promptforge.actors.search.local.facets import NO, PACKS, YES, packed, values_of
from promptforge.actors.search.local.vocabulary import Vocabulary
from promptforge.actors.search.local.words import analyser, grams, normal, stems
from promptforge.actors.search.messages import PUBLIC, Kind, Offer, SearchDocument

HEAP_BYTES = 100_000_000
"""What is written at once, at most. 100,000 listings are one piece with it, and five with 30 MB, which took a third
longer to look into; it is given back.
"""
SCHEMA_VERSION = 3
"""To be counted up with what is written below: processes tell it apart in `/ops/search`."""
STORED_CHARACTERS = 1000
"""Of a body: in these is looked for what was meant."""
GRAM_CHARACTERS = 4000


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("number", indexed=True, fast=True)
    for name in ("title", "names", "tags", "summary", "all"):
        builder.add_text_field(name, tokenizer_name="words", index_option="freq")
    builder.add_text_field("plain", tokenizer_name="plain", index_option="basic")
    builder.add_text_field("grams", tokenizer_name="grams", index_option="freq")
    for name in ("audience", "kind", "seen", "tag", "category", "licence", "scorecard"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    for pack in PACKS:
        builder.add_text_field(pack, tokenizer_name="raw", index_option="basic", fast=True)
    for name in ("price", "stars"):
        builder.add_integer_field(name, indexed=True, fast=True)
    for name in ("changed", "published", "trending", "sales", "rated"):
        builder.add_integer_field(name, fast=True)
    builder.add_bytes_field("body", stored=True)
    return builder.build()


SCHEMA = _schema()
OPEN = frozenset({Kind.LISTING, Kind.PERSON})
"""What everybody sees where nothing narrower is asked for."""


def seen_as(audience: str, kind: Kind) -> list[str]:
    """Audience and kind as one term, and those kinds together that are looked for most."""
    return [f"{audience}:{kind}", *([f"{audience}:open"] if kind in OPEN else [])]


class FullText:
    """One thread writes; any number read, each what was committed when it began."""

    def __init__(self) -> None:
        self._index = tantivy.Index(SCHEMA)
        self._index.register_tokenizer("words", analyser(stemmed=True))
        self._index.register_tokenizer("plain", analyser(stemmed=False))
        self._index.register_tokenizer("grams", tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build())
        self._index.config_reader("manual")
        self._writer = self._index.writer(HEAP_BYTES, 1)
        self._committed = self._index.searcher()
        self.vocabulary = Vocabulary()
        """Of all texts, and of titles."""

    def searcher(self) -> tantivy.Searcher:
        return self._index.searcher()

    def put(self, numbers: Sequence[int], documents: Sequence[SearchDocument], known: Iterable[int]) -> None:
        """`known`: the numbers that may be in the index already."""
        self.remove(known)
        for number, document in zip(numbers, documents, strict=True):
            self._writer.add_document(_written(number, document, self.vocabulary))

    def remove(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._writer.delete_documents_by_term("number", number)

    def commit(self) -> tantivy.Searcher:
        """Answers a searcher of what was committed before; nobody has searched with it, so it holds no texts."""
        before = self._committed
        self._writer.commit()
        self._index.reload()
        self._committed = self._index.searcher()
        self._index.reload()
        return before


def _written(number: int, document: SearchDocument, vocabulary: Vocabulary) -> tantivy.Document:
    made = tantivy.Document()
    made.add_integer("number", number)
    made.add_text("kind", document.kind.value)
    made.add_text("audience", document.audience)
    for seen in seen_as(document.audience, document.kind):
        made.add_text("seen", seen)
    made.add_integer("changed", _moment(document.changed_at))
    title, summary = normal(document.title), normal(document.summary)
    names, tags = normal(" ".join(document.names)), normal(" ".join(document.tags))
    everything = " \n".join((title, names, tags, summary, normal(document.body)))
    for field, text in (("title", title), ("names", names), ("tags", tags), ("summary", summary), ("all", everything)):
        if text:
            made.add_text(field, text)
    vocabulary.add(stems(everything), stems(title), public=document.audience == PUBLIC)
    made.add_text("plain", f"{title} {names}")
    if found := grams(everything[:GRAM_CHARACTERS]):
        made.add_text("grams", " ".join(found))
    for tag in document.tags:
        made.add_text("tag", tag)
    if document.offer is None:
        made.add_integer("sales", 0)
    else:
        _write_offer(made, document.offer)
    for pack, value in packed(values_of(document)).items():
        made.add_text(pack, value)
    if document.body:
        made.add_bytes("body", document.body[:STORED_CHARACTERS].encode())
    return made


def _write_offer(made: tantivy.Document, offer: Offer) -> None:
    made.add_text("category", offer.category)
    made.add_text("licence", offer.licence)
    made.add_text("scorecard", YES if offer.scorecard else NO)
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


def body_of(searcher: tantivy.Searcher, address: tantivy.DocAddress) -> str:
    """The beginning of it."""
    stored: bytes = searcher.doc(address).get_first("body") or b""
    return stored.decode()
