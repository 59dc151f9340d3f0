"""What `make run` prints once the service answers."""

from __future__ import annotations

import sys

from promptforge.core.identity import mint
from promptforge.core.principal import Role
from promptforge.deploy.models import describe
from promptforge.deploy.settings import Settings

PEOPLE: tuple[tuple[str, str, tuple[Role, ...]], ...] = (
    ("creator", "carla", (Role.SELLER,)),
    ("buyer", "bruno", ()),
    ("moderator", "mona", (Role.MODERATOR,)),
    ("operator", "otto", (Role.OPERATOR,)),
)
"""Who the ready-made development tokens are for: what they do, their uid, their roles."""


def print_welcome(settings: Settings, *, host: str, port: int, sandboxed: bool) -> None:
    """Print where the service and its documentation are and, with development identity, tokens to try them with.

    `sandboxed`: payments go to a sandbox of this process, whose made-up key is no secret.
    """
    shown = f"[{host}]" if ":" in host else host
    lines = ["", f"PromptForge serves  http://{shown}:{port}", f"API documentation   http://{shown}:{port}/docs"]
    about = describe(settings)
    lines += ["", about[0].upper() + about[1:]]
    if sandboxed and settings.stripe_secret_key is not None:
        lines += [
            f"Payments go to a Stripe sandbox, which moves no money: {settings.stripe_api_base}",
            f"  its key, for its API and /_sandbox: {settings.stripe_secret_key.get_secret_value()}",
        ]
    if settings.google_application_credentials is None and settings.firebase_auth_emulator_host is None:
        lines += ["", "Development tokens (valid for 12 hours, for this machine only):"]
        for what, uid, roles in PEOPLE:
            lines.append(f"  {what:<10} {mint(uid, project_id=settings.firebase_project_id, roles=roles)}")
        lines += [
            "",
            "Try one:",
            f"  curl -H 'Authorization: Bearer TOKEN' http://{shown}:{port}/api/v1/users/me",
        ]
    sys.stdout.write("\n".join([*lines, "", ""]))
    sys.stdout.flush()
