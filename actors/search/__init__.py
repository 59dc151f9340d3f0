"""Search over everything that somebody may see: listings, people, projects, prompts.

The actor is in `actor`: the messages of the features that it asks import those of this one, so this file does not.
"""

from promptforge.actors.search.messages import GetSearchIndex, Search, Suggest

__all__ = ["GetSearchIndex", "Search", "Suggest"]
