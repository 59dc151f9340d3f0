"""The marketplace: listings and purchases."""

from promptforge.actors.marketplace.favourites.actor import FavouritesActor
from promptforge.actors.marketplace.favourites.messages import AddFavourite, ListFavourites, RemoveFavourite
from promptforge.actors.marketplace.insights.actor import InsightsActor
from promptforge.actors.marketplace.insights.messages import GetSellerDashboard, ListCategories, RankListings
from promptforge.actors.marketplace.listings.actor import ListingsActor
from promptforge.actors.marketplace.listings.messages import (
    AppealListing,
    AttachEvidence,
    GetListingHistory,
    ListListings,
    RemoveEvidence,
    WithdrawProposal,
)
from promptforge.actors.marketplace.messages import (
    CreateListing,
    GetListing,
    GetPurchase,
    ListMyListings,
    ListPurchases,
    ListSales,
    PurchaseListing,
    RelistListing,
    SubmitListing,
    UnlistListing,
    UpdateListing,
    WithdrawListing,
)
from promptforge.actors.marketplace.purchases.actor import PurchasesActor
from promptforge.actors.marketplace.purchases.appeals import SaleAppealsActor
from promptforge.actors.marketplace.purchases.messages import AppealRefund, AppealSaleRefund, RequestRefund
from promptforge.actors.marketplace.reports.actor import ReportsActor
from promptforge.actors.marketplace.reports.messages import ReportListing, ReportReview
from promptforge.actors.marketplace.reviews.actor import ReviewsActor
from promptforge.actors.marketplace.reviews.messages import (
    CheckRatings,
    DeleteReply,
    DeleteReview,
    ListReviews,
    ReplyToReview,
    WriteReview,
)
from promptforge.actors.marketplace.reviews.replies import RepliesActor
from promptforge.actors.marketplace.sealed.actor import SealedRunsActor
from promptforge.actors.marketplace.sealed.appeals import SealedAppealsActor
from promptforge.actors.marketplace.sealed.messages import (
    FundTrials,
    GetRunOffer,
    GetTrialBudget,
    RunListing,
    WithdrawTrialBudget,
)
from promptforge.actors.marketplace.sealed.trials import TrialBudgetsActor

__all__ = [
    "AddFavourite",
    "AppealListing",
    "AppealRefund",
    "AppealSaleRefund",
    "AttachEvidence",
    "CheckRatings",
    "CreateListing",
    "DeleteReply",
    "DeleteReview",
    "FavouritesActor",
    "FundTrials",
    "GetListing",
    "GetListingHistory",
    "GetPurchase",
    "GetRunOffer",
    "GetSellerDashboard",
    "GetTrialBudget",
    "InsightsActor",
    "ListCategories",
    "ListFavourites",
    "ListListings",
    "ListMyListings",
    "ListPurchases",
    "ListReviews",
    "ListSales",
    "ListingsActor",
    "PurchaseListing",
    "PurchasesActor",
    "RankListings",
    "RelistListing",
    "RemoveEvidence",
    "RemoveFavourite",
    "RepliesActor",
    "ReplyToReview",
    "ReportListing",
    "ReportReview",
    "ReportsActor",
    "RequestRefund",
    "ReviewsActor",
    "RunListing",
    "SaleAppealsActor",
    "SealedAppealsActor",
    "SealedRunsActor",
    "SubmitListing",
    "TrialBudgetsActor",
    "UnlistListing",
    "UpdateListing",
    "WithdrawListing",
    "WithdrawProposal",
    "WithdrawTrialBudget",
    "WriteReview",
]
