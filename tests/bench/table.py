"""Prints measurements beside their baseline: medians of several rounds, and the ratio that survives a noisy machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """`value` is the median of the rounds; `baseline` names the row it is compared with, `budget` says what we want."""

    name: str
    rounds: Sequence[float]
    unit: str
    baseline: str | None = None
    budget: str = ""

    @property
    def value(self) -> float:
        return median(self.rounds)


def print_rows(title: str, rows: Sequence[Row]) -> None:
    values = {row.name: row.value for row in rows}
    table = Table(title=title, title_justify="left")
    for column in ("what", "median", "least", "most", "ratio", "budget"):
        table.add_column(column, justify="left" if column in {"what", "budget"} else "right")
    for row in rows:
        ratio = f"{row.value / values[row.baseline]:.2f} × {row.baseline}" if row.baseline else ""
        table.add_row(
            row.name,
            f"{row.value:.1f} {row.unit}",
            f"{min(row.rounds):.1f}",
            f"{max(row.rounds):.1f}",
            ratio,
            row.budget,
        )
    Console(width=120).print(table)
