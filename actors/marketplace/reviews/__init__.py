"""Reviews: what buyers say of what they bought, and the ratings that add up on listings."""
