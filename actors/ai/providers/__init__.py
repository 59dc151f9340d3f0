"""Language models behind one small interface, whoever runs them."""
