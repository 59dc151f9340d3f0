"""Lists as Stripe answers them: newest first, with cursors, filters and `has_more`; and `expand`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from promptforge.deploy.sandbox.forms import Params
from promptforge.deploy.sandbox.refusals import Object, invalid, no_such
from promptforge.deploy.sandbox.world import Call, World, public

Included = Callable[[World, Object], Object]
_COMPARE: Mapping[str, Callable[[int, int], bool]] = {
    "gt": lambda there, given: there > given,
    "gte": lambda there, given: there >= given,
    "lt": lambda there, given: there < given,
    "lte": lambda there, given: there <= given,
}


def whole(items: Iterable[Object], url: str) -> Object:
    """A list that is part of another object: all of it."""
    return {"object": "list", "data": list(items), "has_more": False, "url": url}


def listed(
    call: Call, kind: str, filters: Mapping[str, str] | None = None, *, items: list[Object] | None = None
) -> Object:
    """A page of `items`, or of this kind. `filters`: parameter → where in the object it is (dots go into it)."""
    params = call.params
    found = items if items is not None else list(call.world.newest_first(kind, account=call.account))
    for name, place in (filters or {}).items():
        if (wanted := params.find(name)) is not None:
            found = [one for one in found if _at(one, place) == wanted]
    found = _between(found, params)
    page, has_more = _page(found, params, kind)
    return {"object": "list", "data": page, "has_more": has_more, "url": call.url}


def _at(item: Object, place: str) -> Any:  # Any: JSON
    value: Any = item
    for part in place.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _between(items: list[Object], params: Params) -> list[Object]:
    if "created" not in params:
        return items
    if isinstance(params.tree["created"], str):
        exact = params.integer("created")
        return [one for one in items if one["created"] == exact]
    bounds = params.part("created")
    bounds.check_known(_COMPARE)
    for name, compare in _COMPARE.items():
        if (bound := bounds.find_integer(name)) is not None:
            items = [one for one in items if compare(one["created"], bound)]
    return items


def _page(items: list[Object], params: Params, kind: str) -> tuple[list[Object], bool]:
    limit = params.find_integer("limit")
    limit = 10 if limit is None else limit
    if not 1 <= limit <= 100:
        raise invalid("Invalid limit: must be between 1 and 100", param="limit")
    after, before = params.find("starting_after"), params.find("ending_before")
    if after is not None:
        rest = items[_index(items, after, kind, "starting_after") + 1 :]
        return rest[:limit], len(rest) > limit
    if before is not None:
        rest = items[: _index(items, before, kind, "ending_before")]
        return rest[-limit:], len(rest) > limit
    return items[:limit], len(items) > limit


def _index(items: list[Object], identifier: str, kind: str, param: str) -> int:
    for number, one in enumerate(items):
        if one["id"] == identifier:
            return number
    raise no_such(kind, identifier, param=param)


def expanded(world: World, answer: Object, paths: list[str], included: Mapping[tuple[str, str], Included]) -> Object:
    """A copy of the answer in which the named fields hold objects instead of ids. Raises `Refused`."""
    copy: Object = public(answer)
    for path in paths:
        if path.count(".") > 3:
            raise invalid(f"This property cannot be expanded ({path}): more than four levels", param="expand")
        _expand(world, copy, path.split("."), included)
    return copy


def _expand(
    world: World, value: Any, path: list[str], included: Mapping[tuple[str, str], Included]
) -> None:  # Any: JSON
    if not path:
        return
    if isinstance(value, list):
        for one in value:
            _expand(world, one, path, included)
    elif isinstance(value, dict):
        name = path[0]
        include = included.get((value.get("object", ""), name))
        if include is not None and not isinstance(value.get(name), dict):
            value[name] = public(include(world, value))
        elif name not in value:
            raise invalid(f"This property cannot be expanded ({name}).", param="expand")
        elif isinstance(value[name], str) and (found := world.find_anywhere(value[name])) is not None:
            value[name] = public(found)
        _expand(world, value[name], path[1:], included)
