"""Questions about sums: one's dashboard, and views that are asked by measures and dimensions."""
