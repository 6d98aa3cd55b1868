"""Accept-reject on layers whose weights and activations are signs: a move flips one weight."""
