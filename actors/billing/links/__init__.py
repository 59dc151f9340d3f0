"""Which accounts belong together, because a card or a bank account of theirs is the same one."""
