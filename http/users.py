"""People: oneself, one's credits and API keys, and what others may see."""

from __future__ import annotations

from promptforge.actors.accounts.errors import (
    DeletionBlocked,
    NothingToCancel,
    PersonalExportExpired,
    PersonalExportNotReady,
)
from promptforge.actors.accounts.exports.messages import (
    DownloadPersonalExport,
    GetPersonalExport,
    RequestPersonalExport,
)
from promptforge.actors.accounts.messages import CancelDeletion, GetDeletion, RequestDeletion
from promptforge.actors.billing.errors import GrantTooLarge
from promptforge.actors.billing.ledger.messages import ListCreditLots
from promptforge.actors.billing.messages import GetCredits, GrantCredits, ListTransactions
from promptforge.actors.users.errors import (
    AlreadyAppealed,
    AppealWaits,
    HandleMoved,
    HandleTaken,
    NothingToAppeal,
    NotOneself,
    OwnSuspension,
    RolesChanged,
    TooManyHandles,
    TooManyKeys,
)
from promptforge.actors.users.messages import (
    CreateApiKey,
    GetMe,
    GetPublicProfile,
    ListApiKeys,
    RevokeApiKey,
    UpdateProfile,
)
from promptforge.actors.users.roles.messages import GetRoles, ListRoleChanges, SetRoles
from promptforge.actors.users.settings.messages import GetSettings, UpdateSettings
from promptforge.actors.users.staff.messages import (
    AppealMySuspension,
    GetAccount,
    GetMySuspension,
    ListAccountEvents,
    ListAccounts,
    ReinstateAccount,
    SuspendAccount,
    UpholdSuspension,
)
from promptforge.core.appeals import AppealTooLate
from promptforge.core.errors import NotFound
from promptforge.http.routing import delete, download, get, patch, post, put

routes = [
    get("/users/me", GetMe),
    patch("/users/me", UpdateProfile, errors=(HandleTaken, TooManyHandles)),
    delete("/users/me", RequestDeletion, status=202, location="/users/me/deletion", errors=(DeletionBlocked,)),
    get("/users/me/deletion", GetDeletion),
    post("/users/me/deletion/cancel", CancelDeletion, errors=(NothingToCancel,)),
    post("/users/me/export", RequestPersonalExport, status=202, location="/users/me/export"),
    get("/users/me/export", GetPersonalExport),
    download("/users/me/export/file", DownloadPersonalExport, errors=(PersonalExportNotReady, PersonalExportExpired)),
    get("/users/me/suspension", GetMySuspension, errors=(NotFound,)),
    post(
        "/users/me/suspension/appeal",
        AppealMySuspension,
        errors=(AlreadyAppealed, AppealTooLate, NothingToAppeal, NotFound),
    ),
    get("/users/me/settings", GetSettings),
    patch("/users/me/settings", UpdateSettings),
    get("/users/me/credits", GetCredits),
    get("/users/me/credits/lots", ListCreditLots),
    get("/users/me/transactions", ListTransactions),
    get("/users/me/api-keys", ListApiKeys),
    post("/users/me/api-keys", CreateApiKey, status=201, errors=(TooManyKeys,)),
    delete("/users/me/api-keys/{key_id}", RevokeApiKey),
    get("/users/{handle}", GetPublicProfile, errors=(HandleMoved,)),
    get("/ops/users", ListAccounts),
    get("/ops/users/{user_id}", GetAccount),
    get("/ops/users/{user_id}/events", ListAccountEvents),
    post("/ops/users/{user_id}/suspend", SuspendAccount, errors=(NotOneself, AppealWaits)),
    post("/ops/users/{user_id}/suspension/uphold", UpholdSuspension, errors=(NothingToAppeal, OwnSuspension)),
    post("/ops/users/{user_id}/reinstate", ReinstateAccount),
    get("/ops/users/{user_id}/roles", GetRoles),
    put("/ops/users/{user_id}/roles", SetRoles, errors=(NotOneself, RolesChanged)),
    get("/ops/users/{user_id}/roles/history", ListRoleChanges),
    post("/users/{user_id}/grants", GrantCredits, status=201, errors=(GrantTooLarge,)),
]
