"""Layers and small architectures: float networks and their XNOR twins."""
