"""The balances with which accounts of the service before this one begin."""
