"""Solutions to the exercises of 12_sparsity_penalty, and what goes wrong in them."""

import math


def my_penalty(weights, scale):
    """Hint: count the weights that are not zero first. With none of them the penalty is zero."""
    active = sum(weight != 0 for weight in weights)
    if active == 0:
        return 0.0
    size = sum(abs(weight) for weight in weights)
    return 4 * active * math.log(1 + size / (scale * active))


def zeros_charged(weights, scale):
    """You count all weights of the block. A weight at zero costs nothing and is not counted."""
    size = sum(abs(weight) for weight in weights)
    return 4 * len(weights) * math.log(1 + size / (scale * len(weights))) if weights else 0.0


def weights_priced_one_by_one(weights, scale):
    """You price each weight by itself. That is less than the pooled price of the slides, which takes
    the mean size of the weights that are not zero."""
    return sum(4 * math.log(1 + abs(weight) / scale) for weight in weights)


def sizes_cancel(weights, scale):
    """You add weights with their signs, and they cancel. A penalty looks at their sizes."""
    active = sum(weight != 0 for weight in weights)
    return 4 * active * math.log(1 + abs(sum(weights)) / (scale * active)) if active else 0.0


def empty_block_forgotten(weights, scale):
    """Where no weight is left there is nothing to divide by. A block of zeros costs nothing."""
    active = sum(weight != 0 for weight in weights)
    return 4 * active * math.log(1 + sum(map(abs, weights)) / (scale * active))


def tail_forgotten(weights, scale):
    """Your price grows in proportion to the weights, like L1. Heavy tails make it grow like a
    logarithm."""
    return 4 * sum(map(abs, weights)) / scale


def pays(weight, scale, saved_per_image, images):
    """Hint: the price is paid once, for the whole of the data, and the loss is saved on each image."""
    price = 4 * math.log(1 + abs(weight) / scale)
    return saved_per_image * images > price


def one_image_only(weight, scale, saved_per_image, images):
    """You hold the price against what one image saves. It is paid once, for all images together."""
    return saved_per_image > 4 * math.log(1 + abs(weight) / scale)


def price_like_l1(weight, scale, saved_per_image, images):
    """You price the weight like L1. Under the sparsity prior, growing far above the scale is cheap."""
    return saved_per_image * images > 4 * abs(weight) / scale


def sign_not_dropped(weight, scale, saved_per_image, images):
    """With you, a negative weight is cheaper than a positive one of its size. The prior is symmetric."""
    return saved_per_image * images > 4 * math.log(1 + weight / scale)


def priced_like_a_sign(weight, scale, saved_per_image, images):
    """You charge log 2, the price of a binary weight. A real weight's price depends on its size."""
    return saved_per_image * images > math.log(2)


CASES = {
    "my_penalty": [
        ([1.0], 1.0),
        ([-1.0], 1.0),
        ([0.0], 1.0),
        ([], 1.0),
        ([1.0, 0.0], 1.0),
        ([1.0, -1.0], 1.0),
        ([1.0, 3.0], 1.0),
        ([0.5, 0.0, -2.0], 0.01),
    ],
    "pays": [
        (1.0, 1.0, 3.0, 1),
        (1.0, 1.0, 1.0, 1),
        (1.0, 1.0, 1.0, 10),
        (9.0, 1.0, 10.0, 1),
        (-0.5, 1.0, 1.0, 1),
        (0.1, 0.001, 0.001, 10_000),
        (0.1, 0.001, 0.002, 10_000),
    ],
}
MISCONCEPTIONS = {
    "my_penalty": [
        zeros_charged,
        weights_priced_one_by_one,
        sizes_cancel,
        empty_block_forgotten,
        tail_forgotten,
    ],
    "pays": [one_image_only, price_like_l1, sign_not_dropped, priced_like_a_sign],
}
