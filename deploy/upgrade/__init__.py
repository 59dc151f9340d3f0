"""Takes over a database of the service that this one replaces, in place; `docs/upgrading.md` is its manual.

Nothing is thrown away: what a document was stays in it, in the field `before_ledger`, with the reason where it does not
count here. Every step finds for itself what is left to do, and does it in transactions of a few hundred documents that
mark what they have done: it may be interrupted anywhere, run again, and run by two processes at once.
"""
