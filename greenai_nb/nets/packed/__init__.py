"""Networks on bits: packing, running and storing them."""
