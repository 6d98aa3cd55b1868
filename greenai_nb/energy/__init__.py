"""Joules, each with the way they were obtained."""
