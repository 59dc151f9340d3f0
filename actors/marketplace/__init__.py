"""The marketplace: listings and purchases."""

from promptforge.actors.marketplace.listings.actor import ListingsActor
from promptforge.actors.marketplace.messages import (
    AppealListing,
    CreateListing,
    GetListing,
    GetListingHistory,
    GetPurchase,
    ListListings,
    ListMyListings,
    ListPurchases,
    ListSales,
    PurchaseListing,
    RelistListing,
    RequestRefund,
    SubmitListing,
    UnlistListing,
    UpdateListing,
    WithdrawListing,
    WithdrawProposal,
)
from promptforge.actors.marketplace.purchases.actor import PurchasesActor

__all__ = [
    "AppealListing",
    "CreateListing",
    "GetListing",
    "GetListingHistory",
    "GetPurchase",
    "ListListings",
    "ListMyListings",
    "ListPurchases",
    "ListSales",
    "ListingsActor",
    "PurchaseListing",
    "PurchasesActor",
    "RelistListing",
    "RequestRefund",
    "SubmitListing",
    "UnlistListing",
    "UpdateListing",
    "WithdrawListing",
    "WithdrawProposal",
]
