"""Solutions to the exercises of 43_search_the_architecture, and what goes wrong in them."""


def expected_cost(fixed, costs, probabilities):
    """Hint: the sum over blocks of the sum over operations of probability times cost."""
    terms = [
        sum(p * cost for p, cost in zip(chances, row, strict=True))
        for chances, row in zip(probabilities, costs, strict=True)
    ]
    return fixed + sum(terms)


def likeliest(fixed, costs, probabilities):
    """You price the likeliest operation of each block. The others are drawn now and then, too."""
    pairs = zip(probabilities, costs, strict=True)
    return fixed + sum(row[chances.index(max(chances))] for chances, row in pairs)


def plain_mean(fixed, costs, probabilities):
    """You average the operations as if all were equally likely. Weigh each cost by its probability."""
    return fixed + sum(sum(row) / len(row) for row in costs)


def without_fixed(fixed, costs, probabilities):
    """You leave out the layers that every network has. They cost something whatever is drawn."""
    return expected_cost(0, costs, probabilities)


def mean_of_blocks(fixed, costs, probabilities):
    """You average over the blocks. A network has all of them, so their costs add up."""
    return fixed + expected_cost(0, costs, probabilities) / len(costs)


def skips_first(architecture, shapes):
    """Hint: sort so that skips come first and the others keep their order; False sorts before True."""
    moved = []
    for shape in dict.fromkeys(shapes):
        stage = [name for name, its in zip(architecture, shapes, strict=True) if its == shape]
        moved += sorted(stage, key=lambda name: name != "skip")
    return moved


def across_stages(architecture, shapes):
    """You move skips past a change of shape. A block of 8 channels is not one of 16."""
    return sorted(architecture, key=lambda name: name != "skip")


def all_sorted(architecture, shapes):
    """You sort the other operations, too. Their order matters: f(g(x)) is not g(f(x))."""
    moved = []
    for shape in dict.fromkeys(shapes):
        stage = [name for name, its in zip(architecture, shapes, strict=True) if its == shape]
        moved += sorted(stage, key=lambda name: (name != "skip", name))
    return moved


def skips_dropped(architecture, shapes):
    """You drop the skips. The network needs an operation for each block, and skip is one."""
    return [name for name in architecture if name != "skip"]


def skips_last(architecture, shapes):
    """You put the skips last. That works as well, but skips first was asked."""
    moved = []
    for shape in dict.fromkeys(shapes):
        stage = [name for name, its in zip(architecture, shapes, strict=True) if its == shape]
        moved += sorted(stage, key=lambda name: name == "skip")
    return moved


CASES = {
    "expected_cost": [
        (10.0, [[0.0, 4.0]], [[0.25, 0.75]]),
        (2.0, [[0.0, 1.0, 6.0], [0.0, 2.0, 3.0]], [[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]]),
        (0.0, [[1.0, 2.0], [3.0, 5.0], [0.0, 8.0]], [[1.0, 0.0], [0.5, 0.5], [0.75, 0.25]]),
    ],
    "skips_first": [
        (["3x3", "1x1", "skip"], [8, 16, 16]),
        (["3x3", "skip", "1x1"], [8, 16, 16]),
        (["1x1", "3x3", "1x1"], [8, 16, 16]),
        (["1x1", "skip", "3x3", "1x1", "skip", "skip"], [8, 8, 16, 16, 16, 32]),
    ],
}
MISCONCEPTIONS = {
    "expected_cost": [likeliest, plain_mean, without_fixed, mean_of_blocks],
    "skips_first": [across_stages, all_sorted, skips_dropped, skips_last],
}
