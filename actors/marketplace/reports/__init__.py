"""Reports: what people hold against a listing or a review; moderators decide."""
