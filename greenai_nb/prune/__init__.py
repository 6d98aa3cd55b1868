"""Pruning of trained networks, whichever trainer made them."""
