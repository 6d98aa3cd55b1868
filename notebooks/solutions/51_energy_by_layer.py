"""Solutions to the exercises of 51_energy_by_layer."""


def separable_over_dense(channels, filters, kernel):
    """Hint: a place of the output takes d k^2 MACs, then d d'; the dense one takes d d' k^2."""
    return (channels * kernel**2 + channels * filters) / (channels * filters * kernel**2)


def rest_percent(whole_ms, layers_ms):
    """Hint: the whole minus the sum of its layers, over the whole. It may be below zero."""
    return 100 * (whole_ms - sum(layers_ms)) / whole_ms


CASES = {
    "separable_over_dense": [(1, 1, 1), (1, 1, 3), (2, 1, 3), (32, 64, 3), (192, 128, 7)],
    "rest_percent": [(1, [1]), (2, [1]), (4, [1, 1]), (10, [6, 5]), (18.5, [3.2, 0.4, 9.7, 5.9])],
}
