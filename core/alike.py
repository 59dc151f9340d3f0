"""When two names look like one."""

from __future__ import annotations

_ALIKE = str.maketrans({"0": "o", "1": "l", "i": "l", "5": "s", "_": "-"})
_PAIRS = (("m", "rn"), ("w", "vv"))
"""Written out, and not drawn together: `vvv` is `vw` as well as `wv`, and looking alike has to be mutual."""


def skeleton(name: str) -> str:
    """The same for names that are easily taken for each other; theirs is ASCII only.

    `0` is taken for `o`, `1` and `i` for `l`, `5` for `s`, `rn` for `m`, `vv` for `w`, and `_` for `-`: what Unicode's
    confusables are (UTS 39, section 4), for the few characters that a handle or a code can have.
    """
    alike = name.lower()
    for one, pair in _PAIRS:
        alike = alike.replace(one, pair)
    return alike.translate(_ALIKE)


def drawn_together(name: str) -> str:
    """The skeleton as it was made before, by which hashes of held handles are still known for as long as they last."""
    alike = name.lower()
    for one, pair in _PAIRS:
        alike = alike.replace(pair, one)
    return alike.translate(_ALIKE)
