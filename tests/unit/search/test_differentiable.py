import math

import pytest
import torch

from greenai_nb.search.cost import CostTable
from greenai_nb.search.differentiable import LogPrice, PowerPrice, fit_fbnet, gumbel_softmax
from greenai_nb.search.space import OPERATIONS, Space, Supernet

pytestmark = pytest.mark.usefixtures("one_thread_in_all")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_cold_mixtures_are_draws_from_the_softmax():
    scores = torch.tensor([[0.0, 1.0, -1.0, 0.5], [2.0, 0.0, 0.0, 0.0]])
    draws = gumbel_softmax(scores.expand(20_000, 2, 4), 1e-3, generator())
    assert float(draws.max(-1).values.median()) > 1 - 1e-6
    # Three standard deviations of a share of 20,000 are at most 0.011.
    torch.testing.assert_close(draws.round().mean(0), scores.softmax(1), atol=0.011, rtol=0)


def test_the_operation_with_the_largest_noisy_score_is_the_softmaxs_at_any_temperature():
    scores = torch.tensor([0.3, -0.4, 1.1])
    draws = gumbel_softmax(scores.expand(20_000, 3), 4.0, generator(1)).argmax(1)
    torch.testing.assert_close(draws.bincount() / 20_000, scores.softmax(0), atol=0.011, rtol=0)


def test_hot_mixtures_are_even_and_all_sum_to_one():
    scores = torch.randn(5, 4, generator=generator())
    hot = gumbel_softmax(scores, 1e5, generator())
    torch.testing.assert_close(hot, torch.full((5, 4), 0.25), atol=1e-3, rtol=0)
    torch.testing.assert_close(gumbel_softmax(scores, 0.5, generator()).sum(1), torch.ones(5))
    again = gumbel_softmax(scores, 0.5, generator(3))
    assert torch.equal(again, gumbel_softmax(scores, 0.5, generator(3)))


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature must be a number in"):
        gumbel_softmax(torch.zeros(2, 4), temperature, generator())


def test_prices_by_hand():
    cost = torch.tensor([math.e, 100.0])
    assert LogPrice()(cost).tolist() == pytest.approx([0.2, 0.2 * math.log(100) ** 0.6])
    assert PowerPrice(0.5)(cost).tolist() == pytest.approx([math.exp(0.5), 10])


def space_of(data):
    return Space(data.shape, data.classes, width=2, stages=(1,), stride=1)


def costs_of(**costs):
    return CostTable("us", 1.5, torch.tensor([[costs.get(f"x{name}", 1.0) for name in OPERATIONS]]))


def fit(data, costs, **settings):
    torch.manual_seed(0)
    how = {"epochs": 4, "warm_up": 0, "batch_size": 6, "score_rate": 1.0, "price": PowerPrice(2.0)}
    how |= settings
    return fit_fbnet(Supernet(space_of(data)), data, costs, **how)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_that_is_much_cheaper_is_chosen(tiny_data, operation):
    dear = {f"x{name}": 20.0 for name in OPERATIONS}
    got = fit(tiny_data, costs_of(**dear | {f"x{operation}": 0.1}))
    assert got.net.architecture == (operation,)
    assert got.trace[f"{operation} in block 0"].is_monotonic_increasing
    assert got.trace["cost"].iloc[-1] < got.trace["cost"].iloc[0]


def test_a_search_is_a_fit_with_its_history_and_leaves_its_argument_alone(tiny_data):
    torch.manual_seed(0)
    net = Supernet(space_of(tiny_data))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    how = {"epochs": 3, "warm_up": 2, "batch_size": 6, "hot": 4.0, "cold": 1.0}
    got, again = (fit_fbnet(net, tiny_data, costs_of(), seed=seed, **how) for seed in (1, 1))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert got.trace["temperature"].tolist() == pytest.approx([4.0, 2.0, 1.0])
    assert torch.equal(got.net.scores, again.net.scores)
    probabilities = got.trace[[f"{name} in block 0" for name in OPERATIONS]].to_numpy()
    assert (probabilities[:2] == 0.25).all() and probabilities[2].sum() == pytest.approx(1)
    assert (probabilities[2] != 0.25).any()
    # 48 images teach the weights in each epoch, 12 the scores in the last.
    per_image = got.trace["operations"] / [48, 96, 156]
    assert per_image.nunique() == 1
    assert got.trace["loss"].iloc[-1] < got.trace["loss"].iloc[0]
    other = fit_fbnet(net, tiny_data, costs_of(), seed=2, **how)
    assert not torch.equal(got.net.scores, other.net.scores)


def test_settings_and_tables_that_do_not_fit_are_refused(tiny_data):
    with pytest.raises(ValueError, match=r"table of \(1, 4\), one a block and operation, got \(2, 4\)"):
        fit(tiny_data, CostTable("us", 1.0, torch.ones(2, 4)))
    with pytest.raises(ValueError, match=r"0\.5 us is not a number: take a smaller unit"):
        fit(tiny_data, CostTable("us", 0.5, torch.ones(1, 4)), price=LogPrice())
    with pytest.raises(ValueError, match="cold must be a number in"):
        fit(tiny_data, costs_of(), cold=-1.0)
    with pytest.raises(ValueError, match="epochs must be a whole number"):
        fit(tiny_data, costs_of(), epochs=0)
