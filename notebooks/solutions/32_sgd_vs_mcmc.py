"""Solutions to the exercises of 32_sgd_vs_mcmc, and what goes wrong in them."""


def near_zero_of_proposed(weights, was_proposed, threshold):
    """Hint: drop the weights that were never proposed first, and then count sizes, without signs."""
    sizes = [abs(weight) for weight, hit in zip(weights, was_proposed, strict=True) if hit]
    return sum(size <= threshold for size in sizes) / len(sizes)


def all_weights_counted(weights, was_proposed, threshold):
    """You count the weights that were never proposed as well. They are zero because they started
    there, and say nothing about the chain."""
    return sum(abs(weight) <= threshold for weight in weights) / len(weights)


def divided_by_all(weights, was_proposed, threshold):
    """You count the right weights and divide by the number of all. The share is one of those that
    were proposed."""
    hits = [abs(w) <= threshold for w, hit in zip(weights, was_proposed, strict=True) if hit]
    return sum(hits) / len(weights)


def zeros_taken_for_untouched(weights, was_proposed, threshold):
    """You drop every weight that is zero. A weight can be proposed and still end at zero: these are
    the weights that the prior keeps there."""
    sizes = [abs(weight) for weight in weights if weight != 0]
    return sum(size <= threshold for size in sizes) / max(len(sizes), 1)


def negatives_counted(weights, was_proposed, threshold):
    """You count every negative weight, even a large one. Near zero is about size, and not about sign."""
    values = [weight for weight, hit in zip(weights, was_proposed, strict=True) if hit]
    return sum(value <= threshold for value in values) / len(values)


def shrink(weight, amount):
    """Hint: a weight smaller than the amount becomes zero; it never changes its sign."""
    size = max(abs(weight) - amount, 0.0)
    return size if weight > 0 else -size


def zero_overshot(weight, amount):
    """Your small weights jump over zero and come out on the other side. Plain gradient steps on L1 do
    so too, which is why their weights tremble around zero and hardly any is zero."""
    if weight == 0:
        return 0.0
    return weight - amount if weight > 0 else weight + amount


def shrunk_in_proportion(weight, amount):
    """You shrink in proportion, as weight decay does for L2. Weights get small that way and never
    zero."""
    return weight * (1 - amount)


def large_ones_kept(weight, amount):
    """You set small weights to zero and leave the large ones as they are: that is pruning. L1 pulls
    at every weight alike."""
    return 0.0 if abs(weight) <= amount else weight


def all_moved_down(weight, amount):
    """You move every weight down. A negative weight goes away from zero then."""
    return max(weight - amount, 0.0) if weight > 0 else weight - amount


def negatives_cut(weight, amount):
    """You turn negative weights into zero, as ReLU does. They are pulled up to zero, by the amount."""
    return max(weight - amount, 0.0)


CASES = {
    "near_zero_of_proposed": [
        ([0.0], [True], 0.1),
        ([1.0], [True], 0.1),
        ([-1.0], [True], 0.1),
        ([0.0, 1.0], [False, True], 0.1),
        ([0.0, 1.0], [True, True], 0.1),
        ([0.0, 0.05, -2.0, 0.0], [True, True, True, False], 0.1),
    ],
    "shrink": [(1.0, 0.5), (-1.0, 0.5), (0.0, 0.5), (0.2, 0.5), (-0.2, 0.5), (0.5, 0.5), (3.0, 0.5)],
}
MISCONCEPTIONS = {
    "near_zero_of_proposed": [
        all_weights_counted,
        divided_by_all,
        zeros_taken_for_untouched,
        negatives_counted,
    ],
    "shrink": [
        zero_overshot,
        shrunk_in_proportion,
        large_ones_kept,
        all_moved_down,
        negatives_cut,
    ],
}
