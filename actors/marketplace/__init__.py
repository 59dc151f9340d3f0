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
from promptforge.actors.marketplace.reports.actor import ReportsActor
from promptforge.actors.marketplace.reports.messages import ReportListing, ReportReview
from promptforge.actors.marketplace.reviews.actor import ReviewsActor
from promptforge.actors.marketplace.reviews.messages import (
    CheckRatings,
    DeleteReply,
    DeleteReview,
    ListReviews,
    RemoveReview,
    ReplyToReview,
    WriteReview,
)

__all__ = [
    "AppealListing",
    "CheckRatings",
    "CreateListing",
    "DeleteReply",
    "DeleteReview",
    "GetListing",
    "GetListingHistory",
    "GetPurchase",
    "ListListings",
    "ListMyListings",
    "ListPurchases",
    "ListReviews",
    "ListSales",
    "ListingsActor",
    "PurchaseListing",
    "PurchasesActor",
    "RelistListing",
    "RemoveReview",
    "ReplyToReview",
    "ReportListing",
    "ReportReview",
    "ReportsActor",
    "RequestRefund",
    "ReviewsActor",
    "SubmitListing",
    "UnlistListing",
    "UpdateListing",
    "WithdrawListing",
    "WithdrawProposal",
    "WriteReview",
]
