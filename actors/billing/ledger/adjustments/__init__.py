"""What operators do to balances by hand: gifts and written-off debts, the large ones by two of them."""
