"""`promptforge doctor`: every setting, where it comes from, what is wrong with it, and whether the database fits."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
from pydantic import SecretStr, ValidationError
from rich.console import Console
from rich.table import Table

from promptforge.core.errors import PromptForgeError
from promptforge.core.mongo import compare_indexes
from promptforge.deploy.database import open_database
from promptforge.deploy.features import INDEXES
from promptforge.deploy.models import describe
from promptforge.deploy.settings import Settings, faults

NEVER_SET = "redis_url"


def run_doctor(*, data_dir: Path | None) -> int:
    """Print the report; answers the exit code: 0 where nothing is wrong, 1 otherwise."""
    console = Console()
    try:
        settings = Settings() if data_dir is None else Settings(data_dir=data_dir)
    except ValidationError as error:
        for problem in error.errors(include_input=False):
            console.print(f"[red]wrong[/red]  {str(problem['loc'][0]).upper()}: {problem['msg']}")
        return 1
    console.print(_settings_table(settings, overridden=data_dir is not None))
    found = faults(settings)
    for fault in found:
        console.print(f"[red]wrong[/red]  {fault}")
    if found:
        return 1
    console.print(f"[green]right[/green]  {describe(settings)}")
    return anyio.run(_check_database, settings, console)


def _settings_table(settings: Settings, *, overridden: bool) -> Table:
    table = Table(title="Settings", title_justify="left")
    for column in ("name", "value", "source", "what it is"):
        table.add_column(column)
    for name, field in Settings.model_fields.items():
        if name == NEVER_SET and getattr(settings, name) is None:
            continue
        source = "command line" if name == "data_dir" and overridden else _source(name)
        table.add_row(name.upper(), _shown(getattr(settings, name)), source, field.description or "")
    return table


def _source(name: str) -> str:
    names = [name.upper(), "PROMPTFORGE_DATA_DIR"] if name == "data_dir" else [name.upper()]
    present = {key.upper() for key, value in os.environ.items() if value}
    return "environment" if any(candidate in present for candidate in names) else "default"


def _shown(value: object) -> str:
    """A value for people; a secret only says that it is there."""
    if value is None or value == ():
        return "-"
    if isinstance(value, SecretStr):
        return "(set)"
    if isinstance(value, tuple):
        return f"({len(value)} set)" if isinstance(value[0], SecretStr) else ", ".join(map(str, value))
    return str(value)


async def _check_database(settings: Settings, console: Console) -> int:
    try:
        async with open_database(settings) as database:
            differences = await compare_indexes(database.mongo, INDEXES)
            console.print(f"[green]right[/green]  MongoDB answers; database {settings.mongo_db}")
    except PromptForgeError as error:
        console.print(f"[red]wrong[/red]  {error.detail}")
        return 1
    for difference in differences:
        console.print(f"[yellow]note[/yellow]   {difference}")
    if not differences:
        console.print("[green]right[/green]  every declared index is there")
    return 0
