"""Networks that read an image row by row, and two ways to their gradients."""
