"""Search over everything that somebody may see: listings, people, projects, prompts."""

from promptforge.actors.search.actor import SearchActor
from promptforge.actors.search.changes import ChangedDocuments
from promptforge.actors.search.messages import GetSearchIndex, Search, Suggest

__all__ = ["ChangedDocuments", "GetSearchIndex", "Search", "SearchActor", "Suggest"]
