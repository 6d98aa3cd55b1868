"""Solutions to the exercises of 41_prune_and_survive, and what goes wrong in them."""


def prune_smallest(weights, share):
    """Hint: sort the positions by the size of their weights; size means without the sign."""
    order = sorted(range(len(weights)), key=lambda position: abs(weights[position]))
    gone = order[: round(share * len(weights))]
    return [0.0 if position in gone else weight for position, weight in enumerate(weights)]


def negatives_first(weights, share):
    """You sort with the signs, so large negative weights go first. They matter as much as positive
    ones."""
    order = sorted(range(len(weights)), key=lambda position: weights[position])
    gone = order[: round(share * len(weights))]
    return [0.0 if position in gone else weight for position, weight in enumerate(weights)]


def largest_first(weights, share):
    """You prune the largest weights, which carry most of what the network has learned."""
    order = sorted(range(len(weights)), key=lambda position: -abs(weights[position]))
    gone = order[: round(share * len(weights))]
    return [0.0 if position in gone else weight for position, weight in enumerate(weights)]


def share_kept(weights, share):
    """You keep the share that was to go. At 90 % pruned, one weight in ten is left."""
    return prune_smallest(weights, 1 - share)


def share_of_the_largest(weights, share):
    """You cut at a share of the largest weight. One large weight would then empty the network; the
    share counts weights, and not their size."""
    limit = share * max(abs(weight) for weight in weights)
    return [weight if abs(weight) > limit else 0.0 for weight in weights]


def prune_network(layers, share):
    """Hint: one threshold for all layers, so sort the sizes of all weights together. The last weight to
    go is number share * count."""
    sizes = sorted(abs(weight) for layer in layers for weight in layer)
    threshold = sizes[round(share * len(sizes)) - 1]
    return [[weight if abs(weight) > threshold else 0.0 for weight in layer] for layer in layers]


def each_layer_by_itself(layers, share):
    """You prune the same share of every layer, which is the slide's rule. With one threshold for the
    network, a layer of small weights loses more than a layer of large ones."""
    return [prune_smallest(layer, share) for layer in layers]


def threshold_of_the_first_layer(layers, share):
    """You find the threshold in the first layer and use it for all. It has to count the weights of
    every layer, or the share that goes is another one."""
    sizes = sorted(abs(weight) for weight in layers[0])
    threshold = sizes[round(share * len(sizes)) - 1]
    return [[w if abs(w) > threshold else 0.0 for w in layer] for layer in layers]


def signs_kept_in_the_order(layers, share):
    """You sort the weights with their signs, and a threshold for sizes comes out too low."""
    ordered = sorted(weight for layer in layers for weight in layer)
    threshold = ordered[round(share * len(ordered)) - 1]
    return [[w if abs(w) > threshold else 0.0 for w in layer] for layer in layers]


def thresholds_averaged(layers, share):
    """You average the thresholds of the layers, so that a small layer counts as much as a large one."""
    ordered = [sorted(map(abs, layer)) for layer in layers]
    cuts = [sizes[max(round(share * len(sizes)) - 1, 0)] for sizes in ordered]
    threshold = sum(cuts) / len(cuts)
    return [[w if abs(w) > threshold else 0.0 for w in layer] for layer in layers]


CASES = {
    "prune_smallest": [
        ([1.0], 0.0),
        ([1.0], 1.0),
        ([1.0, 2.0], 0.5),
        ([1.0, -2.0], 0.5),
        ([-3.0, 1.0, 2.0, -0.5], 0.75),
        ([8.0, 3.0, 2.0, 1.0], 0.5),
    ],
    "prune_network": [
        ([[1.0, 2.0]], 0.5),
        ([[1.0, -2.0]], 0.5),
        ([[1.0, 2.0], [3.0, 4.0]], 0.5),
        ([[1.0, -4.0], [2.0, 3.0]], 0.5),
        ([[0.1, -0.2, 0.3, 0.4, 0.5, -0.6], [2.0, -3.0]], 0.75),
    ],
}
MISCONCEPTIONS = {
    "prune_smallest": [negatives_first, largest_first, share_kept, share_of_the_largest],
    "prune_network": [
        each_layer_by_itself,
        threshold_of_the_first_layer,
        signs_kept_in_the_order,
        thresholds_averaged,
    ],
}
