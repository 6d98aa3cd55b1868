import math

import numpy as np
import pytest
import torch

from greenai_nb.nets.counts import count
from greenai_nb.search.cost import CostTable, Measured, deployed, energy, energy_nj, latency
from greenai_nb.search.space import OPERATIONS, Space

pytestmark = pytest.mark.usefixtures("one_thread_in_all")
SPACE = Space((1, 12, 10), 3, width=2)


def some_table(seed=0):
    costs = torch.rand(3, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return CostTable("us", 2.5, costs)


@pytest.mark.parametrize("seed", range(3))
def test_the_expected_cost_is_the_mean_over_all_64_architectures(seed):
    table = some_table(seed)
    probabilities = torch.randn(3, 4, dtype=torch.float64).softmax(1)
    mean = 0.0
    for architecture in SPACE.architectures():
        places = [OPERATIONS.index(name) for name in architecture]
        chance = math.prod(float(row[place]) for row, place in zip(probabilities, places, strict=True))
        mean += chance * (2.5 + sum(float(table.blocks[b, place]) for b, place in enumerate(places)))
        assert table.of(architecture) == pytest.approx(2.5 + sum(table.blocks[[0, 1, 2], places]))
    assert float(table.expected(probabilities)) == pytest.approx(mean, rel=1e-12)


def test_the_slope_of_the_expected_cost_is_the_table():
    table, mixture = some_table(), torch.rand(3, 4, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(table.expected(mixture), mixture)
    torch.testing.assert_close(slope, table.blocks)


def test_energy_adds_up_exactly_and_a_skip_is_free():
    for batch in (1, 7):
        got = energy(SPACE, SPACE.distinct(), batch)
        assert np.abs(got.errors).max() < 1e-9
        assert (got.table.blocks[:, 0] == 0).all() and (got.table.blocks[:, 1:] > 0).all()
        assert torch.equal(got.table.blocks[1], got.table.blocks[2])
    assert len(got.whole) == 52


def test_the_energy_of_a_network_is_the_priced_sum_of_its_layers():
    net = SPACE.network(("1x1", "skip", "3x3"))
    rows = count(deployed(net), torch.rand(1, 1, 12, 10))
    rows = rows[rows["kind"] != "Identity"].sum(numeric_only=True)
    picojoules = 4.6 * rows["macs"] + 0.9 * rows["additions"]  # Horowitz 2014
    picojoules += 1300 / 8 * rows["weight_bytes"] + 100 / 8 * (
        rows["input_bytes"] + rows["output_bytes"]
    )
    assert energy_nj(net, SPACE.shape) == pytest.approx(picojoules / 1000)


def test_a_deployed_network_computes_the_same_without_batch_norms():
    torch.manual_seed(0)
    net = SPACE.network(("depthwise", "1x1", "3x3"))
    for _ in range(3):
        net(torch.rand(20, 1, 12, 10))
    images = torch.rand(4, 1, 12, 10)
    merged = deployed(net)
    torch.testing.assert_close(merged(images), net.eval()(images))
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in merged.modules())
    assert any(isinstance(layer, torch.nn.BatchNorm2d) for layer in net.modules())


def test_latency_has_a_cost_for_each_part_and_network():
    space = Space((1, 8, 8), 2, width=1)
    some = space.distinct()[::10]
    got = latency(space, some, batch=2, repetitions=6, window_s=0.0)
    assert [*got.whole] == some and min(got.whole.values()) > 0
    assert (got.table.blocks[:, 0] == 0).all() and (got.table.blocks[:, 1:] > 0).all()
    assert got.table.unit == "us" and len(got.errors) == len(some)


def test_errors_are_those_of_the_sum_relative_to_the_whole():
    table = CostTable("us", 10.0, torch.tensor([[0.0, 1.0, 2.0, 3.0]]))
    assert Measured(table, {("3x3",): 10.0, ("skip",): 20.0}).errors == pytest.approx([0.3, -0.5])


@pytest.mark.parametrize("hole", [math.nan, math.inf, -1.0])
def test_a_table_with_a_hole_names_it(hole):
    costs = torch.rand(3, 4)
    costs[1, 2] = hole
    with pytest.raises(ValueError, match="depthwise in block 1 must be a number"):
        CostTable("us", 1.0, costs)
    with pytest.raises(ValueError, match="the fixed layers must be a number"):
        CostTable("us", hole, torch.rand(3, 4))


def test_a_table_without_a_column_for_each_operation_is_refused():
    with pytest.raises(ValueError, match=r"with skip, 1x1, depthwise, 3x3, got a shape of \(3, 3\)"):
        CostTable("us", 1.0, torch.rand(3, 3))
    with pytest.raises(ValueError, match="batch must be a whole number"):
        energy(SPACE, SPACE.distinct(), 0)
