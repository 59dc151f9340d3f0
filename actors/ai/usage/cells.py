"""A cell is the sum of some runs, as a list of whole numbers: those of `COUNTED`, then the histogram of latencies.

The histogram is of the runs that ended well: step and number of runs by turns, the steps rising, those without runs
left out. Lists because thousands of them are read, added and told for one question.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, chain

from promptforge.actors.ai.usage.messages import RunTotals, SpendTotals
from promptforge.core.amounts import from_millicredits

Cell = list[int]

COUNTED = ("runs", "failed", "cancelled", "input_tokens", "output_tokens", "cost_microusd", "millicredits")
_STEPS, _NUMBERS = slice(len(COUNTED), None, 2), slice(len(COUNTED) + 1, None, 2)

STEPS_AN_OCTAVE = 4
BOUNDS_MS = tuple(round(2 ** (step / STEPS_AN_OCTAVE)) for step in range(18 * STEPS_AN_OCTAVE + 1))
"""Upper bounds of the steps, up to 262 s, which is longer than a run may take; the last has no bound."""
_LOWS_MS = (0, *BOUNDS_MS[:-1])


def merged(cells: Sequence[Cell]) -> Cell:
    """Their sum; a cell that is alone is answered itself, so nobody may change what this answers."""
    if len(cells) == 1:
        return cells[0]
    counts = [sum(column) for column in zip(*(cell[: len(COUNTED)] for cell in cells), strict=True)]
    latency = [0] * len(BOUNDS_MS)
    for cell in cells:
        for step, number in zip(cell[_STEPS], cell[_NUMBERS], strict=True):
            latency[step] += number
    pairs = chain.from_iterable((step, number) for step, number in enumerate(latency) if number)
    return [*(counts or [0] * len(COUNTED)), *pairs]


def spend_of(cell: Cell) -> SpendTotals:
    runs, failed, cancelled, received, sent, cost, millicredits = cell[: len(COUNTED)]
    return SpendTotals(runs, failed, cancelled, received, sent, cost, from_millicredits(millicredits))


def totals_of(cell: Cell) -> RunTotals:
    runs, failed, cancelled, received, sent, cost, millicredits = cell[: len(COUNTED)]
    half, most = percentiles_ms(cell, (50, 95))
    return RunTotals(runs, failed, cancelled, received, sent, cost, from_millicredits(millicredits), half, most)


def latency_step(milliseconds: int) -> int:
    """Which step of the histogram it falls in."""
    return min(bisect_left(BOUNDS_MS, milliseconds), len(BOUNDS_MS) - 1)


def percentiles_ms(cell: Cell, percents: Sequence[int]) -> list[int | None]:
    """What so many of a hundred runs did not exceed. Each answer is in the step of the true one: see `BOUNDS_MS`.

    Within the step as if its runs were spread evenly.
    """
    steps, numbers = cell[_STEPS], cell[_NUMBERS]
    if not steps:
        return [None] * len(percents)
    reached = list(accumulate(numbers))
    told: list[int | None] = []
    for percent in percents:
        wanted = percent * reached[-1] / 100
        place = bisect_left(reached, wanted)
        low, high, number = _LOWS_MS[steps[place]], BOUNDS_MS[steps[place]], numbers[place]
        told.append(round(low + (high - low) * (wanted - reached[place] + number) / number))
    return told
