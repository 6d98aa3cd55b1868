"""Solutions to the exercises of 21_xnor_layers, and what goes wrong in them."""

import math


def signs(numbers):
    """Hint: one bit holds two values, and zero must take one of them. Which one does the text say?"""
    return [1 if number >= 0 else -1 for number in numbers]


def zero_stays_zero(numbers):
    """With you, zero stays zero, as with torch.sign. One bit has no third value: zero counts as +1."""
    return [(number > 0) - (number < 0) for number in numbers]


def zero_is_negative(numbers):
    """With you, zero becomes -1. One bit allows that, but in this walk zero counts as +1, and two
    programs that disagree here give different networks."""
    return [1 if number > 0 else -1 for number in numbers]


def zero_has_a_sign(numbers):
    """You make -1 of the float -0.0. It equals 0.0, and so must its sign."""
    return [int(math.copysign(1, number)) for number in numbers]


def bits_for_signs(numbers):
    """You give bits, 0 and 1. They are how signs are stored; the layer computes with -1 and +1."""
    return [int(number >= 0) for number in numbers]


def best_scale(weights):
    """Hint: set the derivative of the squared error with respect to alpha to zero."""
    return sum(abs(weight) for weight in weights) / len(weights)


def signs_cancel(weights):
    """In your mean, weights of opposite sign cancel. The scale measures how large weights are."""
    return sum(weights) / len(weights)


def root_mean_square(weights):
    """That keeps the norm of the filter. The nearest multiple of the signs is a little shorter."""
    return math.sqrt(sum(weight**2 for weight in weights) / len(weights))


def largest_weight(weights):
    """You scale by the largest weight. Then all the small ones come out far too large."""
    return max(abs(weight) for weight in weights)


def sizes_summed(weights):
    """You sum the sizes. With more weights the scale would grow, though no weight has."""
    return sum(abs(weight) for weight in weights)


def zeros_left_out(weights):
    """You leave weights at zero out of the mean. Their sign is +1, so they are scaled like the
    others, and their error counts."""
    sizes = [abs(weight) for weight in weights if weight]
    return sum(sizes) / len(sizes) if sizes else 0.0


def xnor_dot(a, b, n, scale):
    """Hint: a ^ b has a 1 where the signs differ; int.bit_count() counts the ones."""
    differences = (a ^ b).bit_count()
    return scale * (n - 2 * differences)


def scale_forgotten(a, b, n, scale):
    """You forget the scale. Signs alone say nothing of how large the weights were."""
    return n - 2 * (a ^ b).bit_count()


def agreements_counted(a, b, n, scale):
    """You count the places that agree. Those that differ take away as much as these add."""
    return scale * (n - (a ^ b).bit_count())


def ones_counted(a, b, n, scale):
    """You count the places where both signs are +1. Two signs of -1 have the product +1, too."""
    return scale * (a & b).bit_count()


def scale_on_the_count_alone(a, b, n, scale):
    """You scale the differences alone. The scale belongs to the whole product."""
    return n - scale * 2 * (a ^ b).bit_count()


CASES = {
    "signs": [([1.5],), ([-2.0],), ([0.0],), ([-0.0],), ([0.3, 0.0, -0.1],)],
    "best_scale": [([1.0],), ([-1.0],), ([0.0],), ([1.0, -3.0],), ([0.5, 0.0, -2.5],)],
    "xnor_dot": [
        (1, 1, 1, 1.0),
        (1, 0, 1, 1.0),
        (0, 0, 1, 1.0),
        (1, 1, 1, 0.5),
        (0b10, 0b11, 2, 0.5),
        (0, 0, 5, 2.0),
        (0b1100, 0b1010, 4, 0.5),
        (0b1000, 0b1010, 4, 0.5),
    ],
}
MISCONCEPTIONS = {
    "signs": [zero_stays_zero, zero_is_negative, zero_has_a_sign, bits_for_signs],
    "best_scale": [signs_cancel, root_mean_square, largest_weight, sizes_summed, zeros_left_out],
    "xnor_dot": [scale_forgotten, agreements_counted, ones_counted, scale_on_the_count_alone],
}
