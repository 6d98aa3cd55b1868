"""Chains that exchange temperatures, in one process or on the workers of a Dask cluster, and gossip."""
