"""Run one notebook at many settings on a cluster, and report on it."""
