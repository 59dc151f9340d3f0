"""Sellers as the law sees them: who they are, what buyers are told of traders, and what was sold in each quarter."""
