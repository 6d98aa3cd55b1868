import pytest
import torch

from greenai_nb.nets import sign

PLAIN = (sign.ste_sign, sign.approx_sign, sign.identity_sign)
POINTS = [-2.0, -1.0, -0.5, -0.0, 0.0, 0.25, 1.0, 1.5]


def gradient(estimator):
    x = torch.tensor(POINTS, requires_grad=True)
    estimator(x).sum().backward()
    return x.grad.tolist()


@pytest.mark.parametrize("estimator", PLAIN)
def test_signs_are_exactly_plus_or_minus_one(estimator):
    x = torch.cat([torch.tensor(POINTS), torch.randn(1000)])
    assert torch.equal(estimator(x), torch.where(x >= 0, 1.0, -1.0))
    assert estimator(x.double()).dtype == torch.float64


def test_gradients_are_those_of_the_table():
    assert gradient(sign.ste_sign) == [0, 1, 1, 1, 1, 1, 1, 0]
    assert gradient(sign.approx_sign) == [0, 0, 1, 2, 2, 1.5, 0, 0]
    assert gradient(sign.identity_sign) == [1] * 8


def test_the_parabola_has_the_gradient_that_approx_sign_uses():
    """Bi-Real's approximation: 2x + x^2 below zero and 2x - x^2 above, clipped to [-1, 1]."""
    x = torch.linspace(-1.4, 1.4, 57, dtype=torch.double, requires_grad=True)
    parabola = torch.where(x < 0, 2 * x + x**2, 2 * x - x**2)
    clipped = torch.where(x.abs() > 1, x.detach().sign(), parabola)
    (known,) = torch.autograd.grad(clipped.sum(), x)
    (ours,) = torch.autograd.grad(sign.approx_sign(x).sum(), x)
    assert torch.allclose(ours, known)


def test_sign_is_plus_one_at_zero_and_passes_the_gradient_inside():
    x = torch.tensor([-2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 1.1], requires_grad=True)
    y = sign.ste_sign(x)
    (y * torch.arange(7.0)).sum().backward()
    assert y.tolist() == [-1, -1, 1, 1, 1, 1, 1]
    assert x.grad.tolist() == [0, 1, 2, 3, 4, 5, 0]
