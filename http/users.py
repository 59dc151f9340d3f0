"""People: oneself, one's credits, and what others may see."""

from __future__ import annotations

from promptforge.actors.billing.errors import GrantTooLarge
from promptforge.actors.billing.messages import GetCredits, GrantCredits, ListTransactions
from promptforge.actors.users.errors import HandleTaken
from promptforge.actors.users.messages import GetMe, GetPublicProfile, UpdateProfile
from promptforge.http.routing import get, patch, post

routes = [
    get("/users/me", GetMe),
    patch("/users/me", UpdateProfile, errors=(HandleTaken,)),
    get("/users/me/credits", GetCredits),
    get("/users/me/transactions", ListTransactions),
    get("/users/{handle}", GetPublicProfile),
    post("/users/{user_id}/grants", GrantCredits, status=201, errors=(GrantTooLarge,)),
]
