"""Lottery tickets: train, prune the smallest weights, go back to the start, and train again.

Source: Frankle and Carbin, *The lottery ticket hypothesis* (2019).
"""

from collections.abc import Callable, Iterator, Sequence

from greenai_nb.learn.fit import Fit
from greenai_nb.learn.stack import Stack
from greenai_nb.prune.masks import Mask, count_kept, largest

Train = Callable[[Stack], Fit]


def masks_by_magnitude(stack: Stack, kept_fraction: float) -> list[Mask]:
    """For each network the mask of its largest weights, under one threshold."""
    weights = [[layer.weight for layer in stack.layers(network)] for network in range(len(stack))]
    return [largest([w.abs() for w in each], count_kept(each, kept_fraction)) for each in weights]


def iterated(
    dense: Stack, kept_fractions: Sequence[float], train: Train, rewind_to: Stack | None
) -> Iterator[tuple[list[Mask], Fit]]:
    """Prune trained networks to each fraction in turn, and train after each; what is pruned stays so.

    Training starts at the weights of ``rewind_to``, or without it at the weights as they are. Yields
    the masks and the fit of each level.
    """
    now = dense
    for fraction in kept_fractions:
        masks = masks_by_magnitude(now, fraction)
        start = rewind_to or now
        nets = [start.network(number) for number in range(len(start))]
        fit = train(Stack(nets, [mask.layers for mask in masks]))
        assert isinstance(fit.net, Stack)
        now = fit.net
        yield masks, fit
