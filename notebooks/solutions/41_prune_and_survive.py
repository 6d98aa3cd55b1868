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


def prune_each_seed(networks, share):
    """Hint: each network has its own order of sizes. The last weight to go is number share * len of
    it."""
    pruned = []
    for weights in networks:
        sizes = sorted(abs(weight) for weight in weights)
        threshold = sizes[round(share * len(sizes)) - 1]
        pruned.append([weight if abs(weight) > threshold else 0.0 for weight in weights])
    return pruned


def pruned_before_the_seed(networks, share):
    """You choose places by the first network, and cut them out of all. Pruning comes after the seed:
    each network has its large weights elsewhere."""
    gone = [weight == 0 for weight in prune_each_seed(networks[:1], share)[0]]
    return [[0.0 if go else w for go, w in zip(gone, each, strict=True)] for each in networks]


def threshold_of_the_first(networks, share):
    """You find the threshold before the next seed is there, and use it for all. A seed with larger
    weights then loses fewer of them, and seeds are compared at different shares."""
    sizes = sorted(abs(weight) for weight in networks[0])
    threshold = sizes[round(share * len(sizes)) - 1]
    return [[w if abs(w) > threshold else 0.0 for w in each] for each in networks]


def seeds_pooled(networks, share):
    """You sort the weights of all seeds together. Seeds are repetitions of an experiment: each
    network loses its own share."""
    sizes = sorted(abs(weight) for each in networks for weight in each)
    threshold = sizes[round(share * len(sizes)) - 1]
    return [[w if abs(w) > threshold else 0.0 for w in each] for each in networks]


def signs_kept_in_the_order(networks, share):
    """You sort weights with their signs, and a threshold for sizes comes out too low."""
    thresholds = [sorted(each)[round(share * len(each)) - 1] for each in networks]
    return [
        [w if abs(w) > t else 0.0 for w in each] for each, t in zip(networks, thresholds, strict=True)
    ]


def points_lost(whole, pruned):
    """Hint: a point is a hundredth, and not a percentage of what was there before."""
    drops = [before - after for before, after in zip(whole, pruned, strict=True)]
    return 100 * sum(drops) / len(drops)


def percent_of_before(whole, pruned):
    """You give the loss in percent of the accuracy before. From 50 % to 40 % that is twenty percent,
    and ten points."""
    drops = [(b - a) / b for b, a in zip(whole, pruned, strict=True)]
    return 100 * sum(drops) / len(drops)


def as_a_share(whole, pruned):
    """That is a share of the images. One of a hundred images is a point."""
    return (sum(whole) - sum(pruned)) / len(whole)


def direction_turned(whole, pruned):
    """You give what was gained. A loss counts as positive, and a gain below zero."""
    return 100 * (sum(pruned) - sum(whole)) / len(whole)


def best_seeds_compared(whole, pruned):
    """You compare the best seed before with the best seed after. These may be two networks, and the
    best of a few says nothing about the usual one."""
    return 100 * (max(whole) - max(pruned))


def gains_ignored(whole, pruned):
    """You count a gain as no loss at all. Then chance alone, up for one seed and down for another,
    would look like damage."""
    drops = [max(b - a, 0.0) for b, a in zip(whole, pruned, strict=True)]
    return 100 * sum(drops) / len(drops)


CASES = {
    "prune_smallest": [
        ([1.0], 0.0),
        ([1.0], 1.0),
        ([1.0, 2.0], 0.5),
        ([1.0, -2.0], 0.5),
        ([-3.0, 1.0, 2.0, -0.5], 0.75),
        ([8.0, 3.0, 2.0, 1.0], 0.5),
    ],
    "prune_each_seed": [
        ([[1.0, 2.0]], 0.5),
        ([[1.0, -2.0]], 0.5),
        ([[1.0, 2.0], [2.0, 1.0]], 0.5),
        ([[1.0, 2.0], [3.0, 4.0]], 0.5),
        ([[1.0, 5.0, 3.0, 4.0], [0.5, -0.1, 0.2, 0.3], [6.0, 8.0, -9.0, 7.0]], 0.75),
    ],
    "points_lost": [
        ([1.0], [1.0]),
        ([1.0], [0.9]),
        ([0.5], [0.4]),
        ([0.5], [0.6]),
        ([0.9, 0.8], [0.7, 0.8]),
        ([0.9, 0.8, 0.7], [0.8, 0.9, 0.4]),
    ],
}
MISCONCEPTIONS = {
    "prune_smallest": [negatives_first, largest_first, share_kept, share_of_the_largest],
    "prune_each_seed": [
        pruned_before_the_seed,
        threshold_of_the_first,
        seeds_pooled,
        signs_kept_in_the_order,
    ],
    "points_lost": [
        percent_of_before,
        as_a_share,
        direction_turned,
        best_seeds_compared,
        gains_ignored,
    ],
}
