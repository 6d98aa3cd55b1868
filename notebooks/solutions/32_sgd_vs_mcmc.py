"""Solutions to the exercises of 32_sgd_vs_mcmc, and what goes wrong in them."""


def share_near_zero(weights, threshold):
    """Hint: negative weights have a size, too."""
    return sum(abs(weight) <= threshold for weight in weights) / len(weights)


def negatives_counted(weights, threshold):
    """You count every negative weight, even a large one. Near zero is about size, and not about sign."""
    return sum(weight <= threshold for weight in weights) / len(weights)


def exact_zeros_counted(weights, threshold):
    """You count exact zeros. A weight that moved by a hair is no zero any more, and still near it."""
    return sum(weight == 0 for weight in weights) / len(weights)


def edge_left_out(weights, threshold):
    """You leave out weights exactly as large as the threshold. 'At most' includes them."""
    return sum(abs(weight) < threshold for weight in weights) / len(weights)


def counted_without_sharing(weights, threshold):
    """That is a number of weights. Networks of different size compare only by shares."""
    return sum(abs(weight) <= threshold for weight in weights)


def in_percent(weights, threshold):
    """That is in percent. The question asks for a share, from 0 to 1."""
    return 100 * sum(abs(weight) <= threshold for weight in weights) / len(weights)


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
    "share_near_zero": [
        ([0.0], 0.1),
        ([1.0], 0.1),
        ([-1.0], 0.1),
        ([0.1], 0.1),
        ([0.0, -0.05, 2.0], 0.1),
    ],
    "shrink": [(1.0, 0.5), (-1.0, 0.5), (0.0, 0.5), (0.2, 0.5), (-0.2, 0.5), (0.5, 0.5), (3.0, 0.5)],
}
MISCONCEPTIONS = {
    "share_near_zero": [
        negatives_counted,
        exact_zeros_counted,
        edge_left_out,
        counted_without_sharing,
        in_percent,
    ],
    "shrink": [
        zero_overshot,
        shrunk_in_proportion,
        large_ones_kept,
        all_moved_down,
        negatives_cut,
    ],
}
