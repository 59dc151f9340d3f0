"""What partners earn: frozen with a suspension, decided about once, and taken over by whoever the partner is."""
