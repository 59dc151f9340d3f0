"""The one place where a message's requirement meets the sender's principal."""

from __future__ import annotations

from promptforge.core.context import Context
from promptforge.core.errors import AccountSuspended, Forbidden, ScopeMissing, Unauthenticated
from promptforge.core.messages import Access, Command, Message, Requirement
from promptforge.core.principal import Principal


def authorise(message: type[Message[object]], requirement: Requirement, context: Context) -> None:
    """Raise `Unauthenticated`, `Forbidden`, `ScopeMissing` or `AccountSuspended`, or let the message pass."""
    if requirement.access is Access.PUBLIC:
        return
    if requirement.access is Access.INTERNAL:
        if not context.trusted:
            raise Forbidden("This operation is the service's own")
        return
    principal = context.principal
    if principal is None:
        raise Unauthenticated("This needs a signed-in user: send an Authorization header with a bearer token")
    _check_principal(message, requirement, principal)


def _check_principal(message: type[Message[object]], requirement: Requirement, principal: Principal) -> None:
    if principal.roles.isdisjoint(requirement.roles):
        wanted = " or ".join(sorted(requirement.roles))
        raise Forbidden(f"This needs the role {wanted}")
    if principal.scopes is not None and requirement.scope not in principal.scopes:
        wanted = requirement.scope or "a person's own sign-in: API keys cannot do this"
        raise ScopeMissing(f"This needs {wanted}", extra={"scope": requirement.scope})
    if principal.suspended and principal.scopes is not None:
        raise AccountSuspended("The account is suspended, and its API keys open nothing")
    if principal.suspended and issubclass(message, Command) and not requirement.while_suspended:
        raise AccountSuspended
