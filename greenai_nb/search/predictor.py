"""FBNetV3: predict how good a network will be from its architecture, after training few of them.

A perceptron reads the choice in each block, one-hot, and is *pretrained* to predict what costs no
training: log multiply-accumulates, log weights, log latency. A few networks are then trained. With their
losses y and the hidden units H of their architectures, the perceptron gets a new last layer by ridge
regression,

    w = (H^T H + r I)^-1 H^T (y - mean y) ,

and some steps of gradient descent tune all weights. Without pretraining the same is done from the random
start. Losses are standardized in between.

Source: Dai et al., *FBNetV3: Joint architecture-recipe search using predictor pretraining* (2021),
section 3.2; Hoerl and Kennard, *Ridge regression* (1970).
"""

import copy
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from greenai_nb.checks import non_negative, positive
from greenai_nb.search.space import Architecture, one_hot

HIDDEN = 24

Codes = Float[Tensor, "networks inputs"]


def codes(architectures: Sequence[Architecture]) -> Codes:
    """The choice in each block, one-hot, as a row for each network."""
    return torch.stack([one_hot(each).flatten() for each in architectures])


def perceptron(inputs: int) -> nn.Sequential:
    """Two hidden layers of ReLU units, whose weights torch's current generator draws."""
    layers = nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU()
    return nn.Sequential(*layers)


def pretrained(
    body: nn.Sequential,
    inputs: Codes,
    proxies: Float[Tensor, "networks proxies"],
    steps: int = 500,
    rate: float = 0.1,
) -> nn.Sequential:
    """A copy that has learned to predict standardized proxies, without the layer that reads them out."""
    learned = copy.deepcopy(body)
    net = nn.Sequential(learned, nn.Linear(HIDDEN, proxies.shape[1]))
    _descend(net, inputs, (proxies - proxies.mean(0)) / proxies.std(0), steps, rate)
    return learned


def ridge(
    features: Float[Tensor, "networks features"], values: Float[Tensor, " networks"], penalty: float
) -> tuple[Float[Tensor, " features"], float]:
    """Weights and bias of ridge regression on centred features, so that the bias is not penalized."""
    positive(penalty=penalty)
    mean, middle = values.mean(), features.mean(0)
    centred = features - middle
    square = centred.T @ centred + penalty * torch.eye(features.shape[1])
    weights = torch.linalg.solve(square, centred.T @ (values - mean))
    return weights, float(mean - middle @ weights)


def tuned(
    body: nn.Sequential,
    inputs: Codes,
    losses: Float[Tensor, " networks"],
    penalty: float = 1.0,
    steps: int = 300,
    rate: float = 0.02,
) -> nn.Sequential:
    """A copy of a perceptron with a last layer, fitted to the losses of a few networks.

    Raises ``ValueError`` for fewer than two networks, and for losses that are not all finite and not all
    equal.
    """
    if len(losses) < 2 or not 0 < float(losses.std()) < torch.inf:
        raise ValueError(f"losses must be two or more finite numbers that differ, got {losses.tolist()}")
    mean, spread = losses.mean(), losses.std()
    targets = (losses - mean) / spread
    head = nn.Linear(HIDDEN, 1)
    net = nn.Sequential(copy.deepcopy(body), head)
    with torch.no_grad():
        weights, bias = ridge(net[0](inputs), targets, penalty)
        head.weight.copy_(weights)
        head.bias.fill_(bias)
    _descend(net, inputs, targets[:, None], steps, rate)
    with torch.no_grad():
        head.weight.mul_(spread)
        head.bias.mul_(spread).add_(mean)
    return net


def _descend(net: nn.Module, inputs: Codes, targets: Tensor, steps: int, rate: float) -> None:
    """Gradient descent on the mean squared error, in place."""
    non_negative(rate=rate)
    weights = [*net.parameters()]
    for _ in range(steps):
        gradients = torch.autograd.grad((net(inputs) - targets).square().mean(), weights)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.sub_(gradient, alpha=rate)
