from __future__ import annotations

import pytest

from promptforge.core.errors import ConfigurationError
from promptforge.core.messages import Query
from promptforge.core.runtime import System
from promptforge.http.auth import Authenticator
from promptforge.http.body import BodyLimits
from promptforge.http.disconnects import Disconnects
from promptforge.http.endpoint import Edge, Endpoint
from promptforge.http.rates import Rates
from promptforge.http.routing import MessageClass, Route, check, get, post
from tests.unit.http.sample import ROUTES, CreateThing, GetThing, Known, ListThings, Secret, Things

HANDLED: set[MessageClass] = {GetThing, ListThings, CreateThing, Secret}


class Undeclared(Query[None]):
    """Nobody said who may send it."""


@pytest.mark.parametrize(
    ("routes", "complaint"),
    [
        ([get("/things/{other_id}", GetThing)], "no field 'other_id'"),
        ([get("/things/{thing_id}/{thing_id}", GetThing)], "twice"),
        ([get("/undeclared", Undeclared)], "does not declare"),
        ([get("/secret", Secret)], "internal"),
        ([get("/things/", ListThings)], "trailing slash"),
        ([get("things", ListThings)], "lower-case segments"),
        ([get("/Things", ListThings)], "lower-case segments"),
        ([get("/things", ListThings), get("/things", ListThings, name="again")], "twice"),
        ([get("/a/{thing_id}", GetThing), get("/b/{thing_id}", GetThing)], "give one of them a name"),
        ([post("/things", CreateThing, location="/things/{id}")], "only 201 and 202"),
    ],
)
def test_a_table_that_could_not_be_served_stops_the_start(routes: list[Route], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        check(routes, HANDLED)


def test_two_routes_that_differ_only_in_a_parameters_name_are_one() -> None:
    with pytest.raises(ConfigurationError, match="twice"):
        check([get("/x/{thing_id}", GetThing), get("/x/{limit}", ListThings)], HANDLED)


def test_a_message_that_nobody_handles_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match="no actor handles"):
        check([get("/things", ListThings)], HANDLED - {ListThings})


def test_one_message_may_have_two_paths_under_two_names() -> None:
    check([get("/a/{thing_id}", GetThing), get("/b/{thing_id}", GetThing, name="getOtherThing")], HANDLED)


def test_the_sample_tables_are_good() -> None:
    check(ROUTES, System([Things()]).bindings)


@pytest.mark.parametrize(
    ("location", "complaint"), [("/nothing/{id}", "nothing is served"), ("/things/{identity}", "no 'identity'")]
)
def test_a_location_that_leads_nowhere_stops_the_start(location: str, complaint: str) -> None:
    edge = Edge(System([Things()]), Authenticator(Known(), Rates()), BodyLimits(), Disconnects(), Rates())
    with pytest.raises(ConfigurationError, match=complaint):
        Endpoint(post("/things", CreateThing, status=201, location=location), edge, {"/things/{}": ROUTES[5]})
