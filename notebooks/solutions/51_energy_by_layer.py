"""Solutions to the exercises of 51_energy_by_layer, and what goes wrong in them."""


def separable_over_dense(channels, filters, kernel):
    """Hint: a place of the output takes d k^2 MACs, then d d'; the dense one takes d d' k^2."""
    separable = channels * kernel**2 + channels * filters
    return separable / (channels * filters * kernel**2)


def mixing_forgotten(channels, filters, kernel):
    """You leave out the pointwise mix. It takes most of the MACs of the pair, wherever filters are
    many."""
    return channels * kernel**2 / (channels * filters * kernel**2)


def filtering_forgotten(channels, filters, kernel):
    """You leave out the depthwise filter. It takes few MACs, but it is why the pair can stand in."""
    return channels * filters / (channels * filters * kernel**2)


def stages_multiplied(channels, filters, kernel):
    """You multiply the two stages. One runs after the other, so their MACs add."""
    return channels * kernel**2 * channels * filters / (channels * filters * kernel**2)


def dense_over_separable(channels, filters, kernel):
    """That is how many times fewer MACs the pair takes. The question is the other way round."""
    return channels * filters * kernel**2 / (channels * kernel**2 + channels * filters)


def filter_seen_as_a_line(channels, filters, kernel):
    """You take the filter as k numbers. It is a square of k by k."""
    return (channels * kernel + channels * filters) / (channels * filters * kernel)


def rest_percent(whole_ms, layers_ms):
    """Hint: the whole minus the sum of its layers, over the whole. It may be below zero."""
    return 100 * (whole_ms - sum(layers_ms)) / whole_ms


def cut_off_at_zero(whole_ms, layers_ms):
    """You cut the rest off at zero. Below zero it says that layers were slower alone than in the
    pass, and how far to trust the others: that must be seen."""
    return max(100 * (whole_ms - sum(layers_ms)) / whole_ms, 0.0)


def sign_dropped(whole_ms, layers_ms):
    """You drop the sign. Too much and too little then look alike."""
    return abs(100 * (whole_ms - sum(layers_ms)) / whole_ms)


def percent_of_the_layers(whole_ms, layers_ms):
    """You take percent of the layers' sum. All columns are in percent of the whole pass."""
    return 100 * (whole_ms - sum(layers_ms)) / sum(layers_ms)


def accounted_for(whole_ms, layers_ms):
    """That is what the layers do account for. The rest is what is missing to a hundred."""
    return 100 * sum(layers_ms) / whole_ms


def as_a_share(whole_ms, layers_ms):
    """That is a share, from 0 to 1. The question asks for percent."""
    return (whole_ms - sum(layers_ms)) / whole_ms


CASES = {
    "separable_over_dense": [(1, 1, 1), (1, 1, 3), (2, 1, 3), (32, 64, 3), (192, 128, 7)],
    "rest_percent": [(1, [1]), (2, [1]), (4, [1, 1]), (10, [6, 5]), (18.5, [3.2, 0.4, 9.7, 3.9])],
}
MISCONCEPTIONS = {
    "separable_over_dense": [
        mixing_forgotten,
        filtering_forgotten,
        stages_multiplied,
        dense_over_separable,
        filter_seen_as_a_line,
    ],
    "rest_percent": [
        cut_off_at_zero,
        sign_dropped,
        percent_of_the_layers,
        accounted_for,
        as_a_share,
    ],
}
