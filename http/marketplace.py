"""Listings and purchases."""

from __future__ import annotations

from promptforge.actors.billing.errors import BudgetSpent, DebtOutstanding, InsufficientCredits
from promptforge.actors.evaluations.errors import EvaluationNotFinished
from promptforge.actors.marketplace.errors import (
    AlreadyAppealed,
    AlreadyOwned,
    EvidenceMismatch,
    IllegalMove,
    LicenceChanged,
    ListingSuspended,
    NoProposal,
    NotForSale,
    NothingToAppeal,
    NotRunnable,
    OwnListing,
    PriceChanged,
    PurchaseRefunded,
    RefundPending,
    RefundRefused,
    ReplyRemoved,
    ReviewRemoved,
    RunsBarred,
    RunsNotBought,
    RunsStopped,
    StaleRevision,
    TrialsUsedUp,
)
from promptforge.actors.marketplace.favourites.messages import AddFavourite, ListFavourites, RemoveFavourite
from promptforge.actors.marketplace.insights.messages import GetSellerDashboard, ListCategories
from promptforge.actors.marketplace.listings.messages import (
    AppealListing,
    AppealProposal,
    AttachEvidence,
    CreatePackageListing,
    GetListingHistory,
    ListListings,
    OfferPackageVersion,
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
from promptforge.actors.marketplace.purchases.messages import AppealRefund, AppealSaleRefund, RequestRefund
from promptforge.actors.marketplace.reports.messages import ReportListing, ReportReview
from promptforge.actors.marketplace.reviews.messages import (
    AppealRemoval,
    AppealReplyRemoval,
    DeleteReply,
    DeleteReview,
    GetOwnReply,
    GetOwnReview,
    ListReviews,
    ReplyToReview,
    WriteReview,
)
from promptforge.actors.marketplace.sealed.messages import (
    AppealRuns,
    FundTrials,
    GetRunOffer,
    GetRunsRuling,
    GetTrialBudget,
    RunListing,
    WithdrawTrialBudget,
)
from promptforge.actors.packages.errors import NotPublished, PackageRevoked, PackageYanked
from promptforge.core.appeals import AppealTooLate
from promptforge.core.errors import NotFound
from promptforge.http.ai import RUN_ERRORS
from promptforge.http.routing import delete, get, patch, post, put, stream

_PACKAGES = (NotPublished, PackageYanked, PackageRevoked)

routes = [
    get("/marketplace/listings", ListListings, repeats=True),
    post("/marketplace/listings", CreateListing, status=201, errors=(NotFound,)),
    post(
        "/marketplace/package-listings",
        CreatePackageListing,
        status=201,
        location="/marketplace/listings/{id}",
        errors=(NotFound, *_PACKAGES),
    ),
    put(
        "/marketplace/listings/{listing_id}/package",
        OfferPackageVersion,
        errors=(IllegalMove, *_PACKAGES),
    ),
    get("/marketplace/listings/mine", ListMyListings),
    get("/marketplace/listings/{listing_id}", GetListing),
    patch("/marketplace/listings/{listing_id}", UpdateListing, errors=(IllegalMove, StaleRevision)),
    get("/marketplace/listings/{listing_id}/history", GetListingHistory, errors=(NotFound,)),
    put(
        "/marketplace/listings/{listing_id}/evidence",
        AttachEvidence,
        errors=(IllegalMove, EvidenceMismatch, EvaluationNotFinished),
    ),
    delete("/marketplace/listings/{listing_id}/evidence", RemoveEvidence, errors=(IllegalMove,)),
    delete("/marketplace/listings/{listing_id}/proposal", WithdrawProposal, errors=(IllegalMove, NoProposal)),
    post(
        "/marketplace/listings/{listing_id}/proposal/appeal",
        AppealProposal,
        errors=(IllegalMove, NothingToAppeal),
    ),
    post("/marketplace/listings/{listing_id}/submit", SubmitListing, errors=(IllegalMove,)),
    post("/marketplace/listings/{listing_id}/withdraw", WithdrawListing, errors=(IllegalMove,)),
    post("/marketplace/listings/{listing_id}/unlist", UnlistListing, errors=(IllegalMove,)),
    post("/marketplace/listings/{listing_id}/relist", RelistListing, errors=(IllegalMove,)),
    post(
        "/marketplace/listings/{listing_id}/appeal",
        AppealListing,
        errors=(IllegalMove, AlreadyAppealed, NothingToAppeal, AppealTooLate),
    ),
    post(
        "/marketplace/listings/{listing_id}/purchases",
        PurchaseListing,
        status=201,
        location="/marketplace/purchases/{id}",
        errors=(
            InsufficientCredits,
            DebtOutstanding,
            AlreadyOwned,
            PriceChanged,
            LicenceChanged,
            NotForSale,
            OwnListing,
            StaleRevision,
            RunsBarred,
            RunsStopped,
        ),
    ),
    stream(
        "/marketplace/listings/{listing_id}/runs",
        RunListing,
        errors=(
            *RUN_ERRORS,
            BudgetSpent,
            RunsNotBought,
            RunsBarred,
            RunsStopped,
            TrialsUsedUp,
            NotForSale,
            ListingSuspended,
            NotRunnable,
        ),
    ),
    get("/marketplace/listings/{listing_id}/runs/ruling", GetRunsRuling, errors=(NotFound,)),
    post(
        "/marketplace/listings/{listing_id}/runs/appeal",
        AppealRuns,
        errors=(NotFound, NothingToAppeal, AlreadyAppealed, AppealTooLate),
    ),
    get("/marketplace/listings/{listing_id}/run-offer", GetRunOffer, errors=(NotRunnable,)),
    post(
        "/marketplace/listings/{listing_id}/trial-budget",
        FundTrials,
        errors=(InsufficientCredits, DebtOutstanding, NotRunnable),
    ),
    get("/marketplace/listings/{listing_id}/trial-budget", GetTrialBudget),
    delete("/marketplace/listings/{listing_id}/trial-budget", WithdrawTrialBudget),
    get("/marketplace/purchases", ListPurchases),
    get("/marketplace/purchases/{purchase_id}", GetPurchase),
    post(
        "/marketplace/purchases/{purchase_id}/refund",
        RequestRefund,
        errors=(PurchaseRefunded, RefundPending, RefundRefused),
    ),
    post(
        "/marketplace/purchases/{purchase_id}/refund/appeal",
        AppealRefund,
        errors=(PurchaseRefunded, NothingToAppeal, AlreadyAppealed, AppealTooLate),
    ),
    get("/marketplace/sales", ListSales),
    post(
        "/marketplace/sales/{purchase_id}/refund/appeal",
        AppealSaleRefund,
        errors=(NothingToAppeal, AlreadyAppealed, AppealTooLate),
    ),
    get("/marketplace/dashboard", GetSellerDashboard),
    get("/marketplace/categories", ListCategories),
    get("/marketplace/favourites", ListFavourites),
    put("/marketplace/listings/{listing_id}/favourite", AddFavourite),
    delete("/marketplace/listings/{listing_id}/favourite", RemoveFavourite),
    put("/marketplace/purchases/{purchase_id}/review", WriteReview, errors=(PurchaseRefunded, ReviewRemoved)),
    get("/marketplace/purchases/{purchase_id}/review", GetOwnReview),
    delete("/marketplace/purchases/{purchase_id}/review", DeleteReview),
    post(
        "/marketplace/purchases/{purchase_id}/review/appeal",
        AppealRemoval,
        errors=(NothingToAppeal, AlreadyAppealed, AppealTooLate),
    ),
    get("/marketplace/listings/{listing_id}/reviews", ListReviews),
    put("/marketplace/reviews/{review_id}/reply", ReplyToReview, errors=(ReplyRemoved,)),
    get("/marketplace/reviews/{review_id}/reply", GetOwnReply),
    post(
        "/marketplace/reviews/{review_id}/reply/appeal",
        AppealReplyRemoval,
        errors=(NothingToAppeal, AlreadyAppealed, AppealTooLate),
    ),
    delete("/marketplace/reviews/{review_id}/reply", DeleteReply),
    post("/marketplace/reviews/{review_id}/reports", ReportReview, status=201),
    post("/marketplace/listings/{listing_id}/reports", ReportListing, status=201),
]
