"""Solutions to the exercises of 00_start_here, and what goes wrong in them."""


def count_weights(pixels, hidden, classes):
    """Hint: one weight for each pair of a pixel and a hidden unit, and for each pair after that."""
    return pixels * hidden + hidden * classes


def layers_multiplied(pixels, hidden, classes):
    """Your layers multiply. A weight belongs to one layer, so the numbers of both layers add."""
    return pixels * hidden * classes


def units_counted(pixels, hidden, classes):
    """You count pixels and units. A weight sits between two of them, on every connection."""
    return pixels + hidden + classes


def last_layer_forgotten(pixels, hidden, classes):
    """That is the first layer alone. The hidden units are connected to the classes, too."""
    return pixels * hidden


def biases_counted(pixels, hidden, classes):
    """You count a bias for each unit as well. This network has none."""
    return pixels * hidden + hidden * classes + hidden + classes


def best_rate(rows, seconds):
    """Hint: a neighbour can only make a try slower. And each of n x n results takes n products."""
    return rows**3 / min(seconds)


def neighbours_averaged(rows, seconds):
    """You take the mean of the tries. It holds the neighbours' work, and differs with every rerun."""
    return rows**3 * len(seconds) / sum(seconds)


def slowest_taken(rows, seconds):
    """You take the slowest try. It tells most about the neighbours and least about the machine."""
    return rows**3 / max(seconds)


def results_counted(rows, seconds):
    """You count the numbers in the result. Each of them is a sum of many products."""
    return rows**2 / min(seconds)


def additions_counted_apart(rows, seconds):
    """You count a product and its addition as two. Here both together are one multiply-accumulate."""
    return 2 * rows**3 / min(seconds)


CASES = {
    "count_weights": [(1, 1, 1), (2, 1, 1), (2, 3, 1), (2, 3, 4), (784, 128, 10)],
    "best_rate": [(1, [1.0]), (2, [1.0]), (2, [1.0, 4.0]), (512, [0.009, 0.002, 0.004])],
}
MISCONCEPTIONS = {
    "count_weights": [layers_multiplied, units_counted, last_layer_forgotten, biases_counted],
    "best_rate": [neighbours_averaged, slowest_taken, results_counted, additions_counted_apart],
}
