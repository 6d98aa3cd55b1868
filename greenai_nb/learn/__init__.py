"""Two ways of training side by side, by gradients and by accept-reject, with one result type."""
