import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from greenai_nb.search.predictor import HIDDEN, codes, perceptron, pretrained, ridge, tuned
from greenai_nb.search.space import Space

ARCHITECTURES = Space().distinct()


def body(seed=0, inputs=12):
    torch.manual_seed(seed)
    return perceptron(inputs)


def test_codes_have_a_one_for_each_block():
    inputs = codes(ARCHITECTURES)
    assert inputs.shape == (52, 12) and (inputs.view(52, 3, 4).sum(2) == 1).all()
    assert len(inputs.unique(dim=0)) == 52


@pytest.mark.parametrize("penalty", [0.1, 10.0])
def test_the_ridge_head_is_scikit_learns(penalty):
    torch.manual_seed(0)
    features, values = torch.randn(9, 5).double(), torch.randn(9).double()
    theirs = Ridge(alpha=penalty).fit(features, values)
    torch.set_default_dtype(torch.float64)
    try:
        weights, bias = ridge(features, values, penalty)
    finally:
        torch.set_default_dtype(torch.float32)
    assert weights.numpy() == pytest.approx(theirs.coef_, rel=1e-9)
    assert bias == pytest.approx(theirs.intercept_, rel=1e-9)


def test_without_steps_a_tuned_predictor_is_ridge_regression_on_its_hidden_units():
    inputs, losses = codes(ARCHITECTURES[:20]), torch.rand(20) + 3
    hidden = body()(inputs).detach()
    theirs = Ridge(alpha=0.5).fit(hidden, losses)
    got = tuned(body(), inputs, losses, penalty=0.5, steps=0)(codes(ARCHITECTURES))
    assert hidden.shape == (20, HIDDEN)
    expected = theirs.predict(body()(codes(ARCHITECTURES)).detach())
    assert got.detach().numpy()[:, 0] == pytest.approx(expected, abs=1e-4)


def test_steps_lower_the_error_on_the_labels_and_leave_the_body_alone():
    start, inputs, losses = body(), codes(ARCHITECTURES[:10]), torch.rand(10)
    before = [weight.clone() for weight in start.parameters()]

    def error(steps):
        net = tuned(start, inputs, losses, penalty=5.0, steps=steps, rate=0.05)
        return (net(inputs)[:, 0] - losses).square().mean().item()

    assert error(200) < error(20) < error(0)
    assert all(torch.equal(a, b) for a, b in zip(before, start.parameters(), strict=True))


def test_a_predictor_that_is_pretrained_on_the_answer_ranks_better_than_a_random_one():
    inputs = codes(ARCHITECTURES)
    answer = inputs @ torch.tensor([0.0, 1, 2, 4] * 3)
    learned = pretrained(body(), inputs, torch.stack([answer, -answer], 1), steps=200)

    def correlation(start):
        got = tuned(start, inputs[::10], answer[::10])(inputs).detach()[:, 0]
        return np.corrcoef(got, answer)[0, 1]

    assert correlation(learned) > max(0.97, correlation(body()))


@pytest.mark.parametrize("losses", [[1.0], [2.0, 2.0], [1.0, float("nan")]])
def test_labels_that_rank_nothing_are_refused(losses):
    with pytest.raises(ValueError, match="two or more finite numbers that differ"):
        tuned(body(), codes(ARCHITECTURES[: len(losses)]), torch.tensor(losses))


def test_a_penalty_of_zero_is_refused():
    with pytest.raises(ValueError, match="penalty must be a number"):
        ridge(torch.rand(3, 2), torch.rand(3), 0.0)
