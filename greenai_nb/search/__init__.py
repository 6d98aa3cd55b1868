"""Architecture search on spaces of networks that are small enough to enumerate."""
