"""Solutions to the exercises of 12_sparsity_penalty."""

import math


def my_penalty(weights, scale):
    """Hint: count the weights that are not zero first. With none of them the penalty is zero."""
    active = sum(weight != 0 for weight in weights)
    if active == 0:
        return 0.0
    size = sum(abs(weight) for weight in weights)
    return 4 * active * math.log(1 + size / (scale * active))


def break_even_images(price, saved_per_image):
    """Hint: round up. Half an image does not exist."""
    return math.ceil(price / saved_per_image)


CASES = {
    "my_penalty": [
        ([1.0], 1.0),
        ([-1.0], 1.0),
        ([0.0], 1.0),
        ([], 1.0),
        ([1.0, 0.0], 1.0),
        ([1.0, 3.0], 1.0),
        ([0.5, 0.0, -2.0], 0.01),
    ],
    "break_even_images": [(1, 1), (3, 2), (16148, 0.5), (10, 2.3)],
}
