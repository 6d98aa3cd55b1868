"""Helpers behind the notebooks: a walk from a regret bound to networks that cost fewer joules.

Names are imported from their module, so that a reader sees where each one lives:
``from greenai_nb.theory.penalty import penalty``.
"""

__version__ = "0.1.0"
