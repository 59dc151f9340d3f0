"""A cell is the sum of some runs, as a list of whole numbers: those of `COUNTED`, then the histogram of latencies.

The histogram is of the runs that ended well: the first step that has any, and then how many each step has from there to
the last that has any. A cell without such runs ends before it. Lists because thousands of them are read, added and
told for one question, and a list's numbers are added where none is looked at.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate, zip_longest

from promptforge.actors.ai.usage.messages import RunTotals, SpendTotals
from promptforge.core.amounts import from_millicredits

Cell = list[int]

COUNTED = ("runs", "failed", "cancelled", "input_tokens", "output_tokens", "cost_microusd", "millicredits")
_FIRST = len(COUNTED)
"""Where a cell has the first step of its histogram."""
_NUMBERS = slice(_FIRST + 1, None)

STEPS_AN_OCTAVE = 4
BOUNDS_MS = tuple(round(2 ** (step / STEPS_AN_OCTAVE)) for step in range(18 * STEPS_AN_OCTAVE + 1))
"""Upper bounds of the steps, up to 262 s, which is longer than a run may take; the last has no bound."""
_LOWS_MS = (0, *BOUNDS_MS[:-1])


def new_cell(counts: Sequence[int], latency: Mapping[int, int]) -> Cell:
    """`latency`: how many runs there are by step."""
    if not latency:
        return [*counts]
    first = min(latency)
    return [*counts, first, *(latency.get(step, 0) for step in range(first, max(latency) + 1))]


def latency_of(cell: Cell) -> dict[int, int]:
    """How many runs there are by step."""
    return {step: number for step, number in enumerate(cell[_NUMBERS], *cell[_FIRST : _FIRST + 1]) if number}


def merged(cells: Sequence[Cell]) -> Cell:
    """Their sum; a cell that is alone is answered itself, so nobody may change what this answers."""
    if len(cells) == 1:
        return cells[0]
    if not cells:
        return [0] * len(COUNTED)
    first = min((cell[_FIRST] for cell in cells if len(cell) > _FIRST), default=None)
    if first is None:
        return list(map(sum, zip(*cells, strict=True)))
    aligned = (
        [*cell[:_FIRST], *[0] * (cell[_FIRST] - first), *cell[_NUMBERS]] if len(cell) > _FIRST else cell
        for cell in cells
    )
    sums = list(map(sum, zip_longest(*aligned, fillvalue=0)))
    sums.insert(_FIRST, first)
    return sums


def spend_of(cell: Cell) -> SpendTotals:
    runs, failed, cancelled, received, sent, cost, millicredits = cell[:_FIRST]
    return SpendTotals(runs, failed, cancelled, received, sent, cost, from_millicredits(millicredits))


def totals_of(cell: Cell) -> RunTotals:
    runs, failed, cancelled, received, sent, cost, millicredits = cell[:_FIRST]
    half, most = percentiles_ms(cell, (50, 95))
    return RunTotals(runs, failed, cancelled, received, sent, cost, from_millicredits(millicredits), half, most)


def latency_step(milliseconds: int) -> int:
    """Which step of the histogram it falls in."""
    return min(bisect_left(BOUNDS_MS, milliseconds), len(BOUNDS_MS) - 1)


def percentiles_ms(cell: Cell, percents: Sequence[int]) -> list[int | None]:
    """What so many of a hundred runs did not exceed. Each answer is in the step of the true one: see `BOUNDS_MS`.

    Within the step as if its runs were spread evenly.
    """
    if len(cell) <= _FIRST:
        return [None] * len(percents)
    first, numbers = cell[_FIRST], cell[_NUMBERS]
    reached = list(accumulate(numbers))
    told: list[int | None] = []
    for percent in percents:
        wanted = percent * reached[-1] / 100
        place = bisect_left(reached, wanted)
        low, high, number = _LOWS_MS[first + place], BOUNDS_MS[first + place], numbers[place]
        told.append(round(low + (high - low) * (wanted - reached[place] + number) / number))
    return told
