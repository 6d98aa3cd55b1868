"""Workers that share a chain or a mean: what they keep, proved on spaces that are small enough."""
