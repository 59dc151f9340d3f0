"""The command line: `promptforge serve | sandbox | token | demo | doctor | jobs | ledger | roles | package`."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Annotated

import typer

from promptforge.core.errors import ConfigurationError, PromptForgeError
from promptforge.core.principal import Role

app = typer.Typer(
    name="promptforge",
    help="PromptForge: write, version, test and sell prompts. One process, one MongoDB.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
jobs = typer.Typer(help="Look at durable jobs.", no_args_is_help=True)
ledger = typer.Typer(help="The ledger of credits.", no_args_is_help=True)
app.add_typer(jobs, name="jobs")
app.add_typer(ledger, name="ledger")
roles = typer.Typer(help="Who may do what.", no_args_is_help=True)
app.add_typer(roles, name="roles")
package = typer.Typer(help="Packages, without a service.", no_args_is_help=True)
app.add_typer(package, name="package")

EXIT_CONFIGURATION = 78
"""`EX_CONFIG` of sysexits.h: the process could not start as configured."""
EXIT_FAILED = 1

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where the embedded database lives.")]


@app.command()
def serve(
    port: Annotated[int | None, typer.Option(help="Port to listen on (default: PORT, or 8000).")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (default: HOST, or 127.0.0.1).")] = None,
    data_dir: DataDir = None,
) -> None:
    """Serve the API, run the actors and the jobs, until SIGTERM or Ctrl-C."""
    gc.disable()  # nearly all that is imported stays: looking through it meanwhile would be a tenth of the start
    from promptforge.deploy.serve import run_service

    gc.enable()
    run_service(port=port, host=host, data_dir=data_dir)


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 12111,
    webhook_url: Annotated[str | None, typer.Option(help="Where its events go; without it, nowhere.")] = None,
) -> None:
    """Run a Stripe sandbox by itself, on loopback, with the keys of STRIPE_… or made-up ones, until Ctrl-C."""
    from promptforge.deploy.payments import run_sandbox
    from promptforge.deploy.settings import load_settings

    run_sandbox(load_settings(), port=port, webhook_url=webhook_url)


@app.command()
def token(
    uid: Annotated[str, typer.Option(help="Who the token is for.")],
    role: Annotated[list[Role] | None, typer.Option(help="A role; repeat for several.")] = None,
    hours: Annotated[float, typer.Option(help="How long it is valid.", min=0.01, max=24 * 30)] = 12.0,
) -> None:
    """Print a development token. A service in production accepts none of these."""
    from promptforge.core.identity import mint
    from promptforge.deploy.settings import load_settings

    settings = load_settings()
    if settings.production:
        raise ConfigurationError("development tokens do not exist in production")
    lifetime = hours * 3600
    typer.echo(mint(uid, project_id=settings.firebase_project_id, roles=role or (), lifetime_seconds=lifetime))


@app.command()
def demo(
    seconds: Annotated[float, typer.Option(help="Give up after this long.")] = 60.0,
) -> None:
    """Start a fresh instance and go from an empty database to a sale, over HTTP, step by step."""
    from promptforge.deploy.demo import run_demo

    raise typer.Exit(run_demo(timeout_seconds=seconds))


@app.command()
def doctor(data_dir: DataDir = None) -> None:
    """Print every setting, where it comes from and what is wrong with it, and check the database."""
    from promptforge.deploy.doctor import run_doctor

    raise typer.Exit(run_doctor(data_dir=data_dir))


@jobs.command("list")
def list_jobs(
    state: Annotated[str | None, typer.Option(help="available, running, completed, cancelled or dead.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind.")] = None,
    limit: Annotated[int, typer.Option(help="How many.", min=1, max=100)] = 20,
    data_dir: DataDir = None,
) -> None:
    """List jobs, newest first."""
    from promptforge.deploy.inspection import print_jobs

    print_jobs(state=state, kind=kind, limit=limit, data_dir=data_dir)


@jobs.command("show")
def show_job(job_id: Annotated[str, typer.Argument(help="The job's id.")], data_dir: DataDir = None) -> None:
    """Show one job with the errors of its attempts."""
    from promptforge.deploy.inspection import print_job

    print_job(job_id, data_dir=data_dir)


@ledger.command("verify")
def verify(
    heads: Annotated[
        Path | None, typer.Option(help="A file of heads that were kept, one a line, as `ledger head` prints them.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Check every invariant of the ledger; exit code 1 where one is violated."""
    from promptforge.deploy.inspection import verify_and_print

    raise typer.Exit(verify_and_print(heads=heads, data_dir=data_dir))


@ledger.command("head")
def head(data_dir: DataDir = None) -> None:
    """Print the head of the ledger's seals as a line of JSON, to be kept where nobody of this database can write."""
    from promptforge.deploy.inspection import print_head

    print_head(data_dir=data_dir)


Person = Annotated[str, typer.Argument(help="An internal id (usr_…), or the uid of a sign-in.")]


@roles.command("show")
def show_roles(person: Person, data_dir: DataDir = None) -> None:
    """Print somebody's roles, and who decided them."""
    from promptforge.deploy.roles import print_roles

    print_roles(person, data_dir=data_dir)


@roles.command("set")
def set_roles(
    person: Person,
    *,
    reason: Annotated[str, typer.Option(help="Why; they are told.")],
    role: Annotated[list[Role] | None, typer.Option(help="A role; repeat for several. Without any, none.")] = None,
    reason_code: Annotated[str, typer.Option(help="The same in a word, such as task_begins or task_ends.")] = "other",
    data_dir: DataDir = None,
) -> None:
    """Give somebody these roles and no others: so a first administrator comes about."""
    from promptforge.deploy.roles import set_and_print

    set_and_print(person, tuple(role or ()), why=(reason_code, reason), data_dir=data_dir)


@package.command("verify")
def verify_package(
    file: Annotated[Path, typer.Argument(help="The package.")],
    trust: Annotated[Path | None, typer.Option(help="A file of keys, as GET /packaging/keys answered them.")] = None,
    key: Annotated[list[str] | None, typer.Option(help="A public key in base64; repeat for several.")] = None,
    expect: Annotated[
        str | None, typer.Option(help="PUBLISHER/NAME@VERSION that it must be; any part may be left empty.")
    ] = None,
) -> None:
    """Verify a package offline: exit code 0 where all of it was signed with a trusted key, 1 where it is refused."""
    from promptforge.deploy.packages import verify_and_print

    raise typer.Exit(verify_and_print(file, trust=trust, keys=key or (), expected=expect))


def main() -> None:
    """Entry point: an expected error is one line on standard error and an exit code, never a traceback."""
    try:
        app()
    except ConfigurationError as error:
        _refuse(error, EXIT_CONFIGURATION)
    except PromptForgeError as error:
        _refuse(error, EXIT_FAILED)


def _refuse(error: PromptForgeError, code: int) -> None:
    typer.echo(f"promptforge: {' '.join(error.detail.split())}", err=True)
    sys.exit(code)
