"""Rewiring keeps its counts at every step, and moves connections by its rule."""

import math

import pytest
import torch

from greenai_nb.learn.stack import Layer, Stack, fit_stack
from greenai_nb.nets.architectures import mlp
from greenai_nb.prune.magnitude import Gradual
from greenai_nb.prune.masks import at_random
from greenai_nb.prune.rewiring import NEARLY_ZERO, DeepR, RigL, SoftDeepR, SparseEvolution


def stack(seed=0, kept=(30, 8)):
    torch.manual_seed(seed)
    net = mlp(16, 6, classes=3)
    mask = at_random([net[1].weight, net[3].weight], kept, torch.Generator().manual_seed(seed))
    return Stack([net], [mask.layers])


class Watched:
    """A rule that counts the active connections after every step."""

    def __init__(self, rule):
        self.rule, self.counts, self.masks = rule, set(), []

    def begin(self, layers, generator):
        rewire = self.rule.begin(layers, generator)

        def after(gradients, progress, rate):
            rewire(gradients, progress, rate)
            self.counts.add(tuple(int(layer.mask.sum()) for layer in layers))
            self.masks.append([layer.mask.clone() for layer in layers])
            assert not any(layer.weight[~layer.mask].any() for layer in layers)

        return after


@pytest.mark.parametrize("kept", [(30, 8), (95, 17), (1, 1), (96, 18)])
@pytest.mark.parametrize(
    "rule",
    [DeepR(0.01, 1e-3), SparseEvolution(0.5, every=1), RigL(every=1)],
    ids=lambda r: type(r).__name__,
)
def test_a_layer_has_as_many_connections_after_every_step(rule, kept, tiny_data):
    watched = Watched(rule)
    fit_stack(
        stack(kept=kept), tiny_data, epochs=3, learning_rate=0.3, batch_size=6, rewirings=[watched]
    )
    assert watched.counts == {kept}
    if kept == (30, 8):
        assert not torch.equal(watched.masks[0][0], watched.masks[-1][0])


def layer(weight, mask):
    return Layer(torch.tensor(weight), torch.tensor(mask).bool())


def test_deep_r_exchanges_a_weight_that_has_changed_its_sign():
    only = layer([[0.5, -0.2, 0.0]], [[1, 1, 0]])
    rewire = DeepR(alpha=1.0).begin([only], torch.Generator().manual_seed(0))
    only.weight[0, 1] = 0.05  # as a step of gradient descent might
    rewire([torch.zeros(1, 3)], 0.5, 0.1)
    assert only.mask.tolist() == [[True, False, True]]
    assert only.weight[0, 0] == pytest.approx(0.4) and only.weight[0, 1] == 0
    assert abs(only.weight[0, 2]) == pytest.approx(NEARLY_ZERO)


def test_deep_rs_noise_has_the_variance_of_its_temperature():
    only = Layer(torch.full((100, 100), 50.0), torch.ones(100, 100).bool())
    DeepR(0.0, temperature=2.0).begin([only], torch.Generator().manual_seed(0))([], 0.5, 0.1)
    assert only.weight.std() == pytest.approx(math.sqrt(2 * 0.1 * 2.0), rel=0.05)


def test_soft_deep_r_has_the_stationary_share_of_active_connections():
    rule = SoftDeepR(alpha=1.0, temperature=1e-2, floor=-8e-3)
    rate, expected = 1e-3, rule.active_probability(1e-3)
    active = torch.rand(40, 100) < expected
    many = Layer(torch.rand(40, 100) * 1e-2 * active, active)
    rewire = rule.begin([many], torch.Generator().manual_seed(0))
    shares = []
    for step in range(2500):
        rewire([], 0.5, rate)
        if step > 500:
            shares.append(float(many.mask.float().mean()))
    assert sum(shares) / len(shares) == pytest.approx(expected, abs=0.015)
    assert expected == pytest.approx(0.485, abs=0.001)
    assert rule.active_probability(1e-12) == pytest.approx(0.01 / 0.018, abs=1e-4)


def test_rigl_grows_where_the_gradient_is_largest_and_what_was_dropped_may_return():
    only = layer([[0.5, 0.1, 0.0, 0.0]], [[1, 1, 0, 0]])
    rewire = RigL(share=1.0, every=1, until=1.0).begin([only], torch.Generator())
    rewire([torch.tensor([[0.0, 0.1, 9.0, -2.0]])], 0.5, 0.1)  # half of two is dropped
    assert only.mask.tolist() == [[True, False, True, False]]
    assert only.weight.tolist() == [[0.5, 0.0, 0.0, 0.0]]
    only = layer([[0.5, 0.1, 0.0, 0.0]], [[1, 1, 0, 0]])
    rewire = RigL(share=1.0, every=1, until=1.0).begin([only], torch.Generator())
    rewire([torch.tensor([[0.0, 9.0, 1.0, -2.0]])], 0.5, 0.1)
    assert only.weight.tolist() == [[0.5, pytest.approx(0.1), 0.0, 0.0]]


def test_exchanges_happen_at_intervals_and_stop():
    only = layer([[0.5, 0.1, 0.0, 0.0]], [[1, 1, 0, 0]])
    rewire = RigL(share=1.0, every=3, until=0.6).begin([only], torch.Generator())
    gradient = [torch.tensor([[0.0, 0.1, 9.0, -2.0]])]
    for progress in (0.1, 0.2, 0.7, 0.8, 0.9, 0.95):
        rewire(gradient, progress, 0.1)
    assert only.mask.tolist() == [[True, True, False, False]]


def test_gradual_pruning_follows_its_curve_and_ends_exactly(tiny_data):
    watched = Watched(Gradual(0.1, start=0.2, end=0.8, every=1))
    fit = fit_stack(
        stack(kept=(96, 18)), tiny_data, epochs=10, learning_rate=0.3, batch_size=6, rewirings=[watched]
    )
    counts = [sum(int(mask.sum()) for mask in masks) for masks in watched.masks]
    assert counts == sorted(counts, reverse=True) and counts[-1] == round(0.1 * 114)
    half = counts[49]  # half of the training, half of the way
    assert half == pytest.approx(0.1 * 114 + 0.9 * 114 / 8, abs=1)
    assert counts[18] == 114 and counts[-20] == counts[-1]
    assert sum(int(row.weight.count_nonzero()) for row in fit.net.linear) <= counts[-1]
    late = Watched(Gradual(0.5, start=0.2, end=0.8, every=1000))
    fit_stack(stack(kept=(96, 18)), tiny_data, epochs=1, batch_size=6, rewirings=[late])
    assert sum(int(mask.sum()) for mask in late.masks[-1]) == 57


def test_bad_settings_are_refused():
    for make in (
        lambda: DeepR(alpha=-1.0),
        lambda: SoftDeepR(1.0, 1.0, 0.5),
        lambda: SparseEvolution(share=0.0),
        lambda: RigL(until=1.5),
        lambda: RigL(every=0),
        lambda: Gradual(0.5, start=0.8, end=0.2),
    ):
        with pytest.raises(ValueError, match=r"must|expected"):
            make()
    with pytest.raises(ValueError, match="kept_fraction"):
        Gradual(0.0).begin([layer([[1.0]], [[1]])], torch.Generator())
