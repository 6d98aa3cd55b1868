"""Pruning of trained networks: reads a Fit and never asks which trainer made it."""
