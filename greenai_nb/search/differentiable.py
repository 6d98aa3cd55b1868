"""FBNet: the choice of operations is relaxed, and learned by gradients together with the weights.

Each block of a supernet adds up all operations. Their weights are a Gumbel soft-max of learned scores s,

    m_k = exp((s_k + g_k) / T) / sum_j exp((s_j + g_j) / T) ,       g_k = -log(-log u_k) ,  u uniform,

which turns into a draw from soft-max(s) as the temperature T falls to zero. Four fifths of the training
images teach the weights of the operations, the rest the scores. The scores' objective is

    cross-entropy x price(expected cost of m) ,       price(c) = alpha log(c)^beta  in the paper.

Both take plain steps against the gradient, the weights against that of the cross-entropy, and the scores
against that of the objective's logarithm, so that one step size serves all prices and units. (The paper
uses Adam for the scores.)

Source: Wu et al., *FBNet* (2019), equations 4 to 9; Jang et al., *Categorical reparameterization with
Gumbel-softmax* (2017).
"""

import math
import time
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from greenai_nb.checks import non_negative, positive, whole
from greenai_nb.data.datasets import Dataset
from greenai_nb.learn.fit import Fit, accuracy, multiply_accumulates
from greenai_nb.learn.sgd import BACKWARD_COST
from greenai_nb.learn.store import remembered
from greenai_nb.nets.weights import copied
from greenai_nb.search.cost import CostTable
from greenai_nb.search.space import OPERATIONS, Supernet

WEIGHTS_SHARE = 0.8  # of the training images


@dataclass(frozen=True)
class LogPrice:
    """alpha log(cost)^beta, FBNet's price with its constants; the cost must exceed one unit."""

    alpha: float = 0.2
    beta: float = 0.6

    def __call__(self, cost: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return self.alpha * cost.log() ** self.beta


@dataclass(frozen=True)
class PowerPrice:
    """cost^exponent: a price that bites, since it rises by as many per cent at any cost."""

    exponent: float = 0.6

    def __call__(self, cost: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return cost**self.exponent


Price = LogPrice | PowerPrice
Images = Int64[Tensor, " images"]  # by number


def gumbel_softmax(
    scores: Float[Tensor, "*blocks operations"], temperature: float, generator: torch.Generator
) -> Float[Tensor, "*blocks operations"]:
    """A random mixture for each row of scores. ``ValueError`` unless the temperature is positive."""
    positive(temperature=temperature)
    noise = -torch.empty_like(scores).exponential_(generator=generator).log()
    return ((scores + noise) / temperature).softmax(-1)


@remembered
def fit_fbnet(
    net: Supernet,
    data: Dataset,
    costs: CostTable,
    *,
    price: Price = LogPrice(),
    epochs: int = 4,
    warm_up: int = 2,
    learning_rate: float = 0.1,
    score_rate: float = 3.0,
    batch_size: int = 64,
    hot: float = 5.0,
    cold: float = 0.5,
    seed: int = 0,
) -> Fit:
    """Train a copy of a supernet with its scores; ``fit.net.architecture`` is what was chosen.

    The temperature falls geometrically from ``hot`` to ``cold``, epoch by epoch, and the rate of the
    weights linearly to zero; the scores stand still for ``warm_up`` epochs. ``fit.trace`` also has the
    ``temperature``, the expected ``cost`` under soft-max(s), and the probability of each operation, as
    ``3x3 in block 0``. ``seed`` orders the images and draws the noise. Raises ``ValueError`` for
    settings out of range, and for costs of another number of blocks.
    """
    whole(epochs=epochs, batch_size=batch_size)
    non_negative(warm_up=warm_up)
    positive(learning_rate=learning_rate, score_rate=score_rate, hot=hot, cold=cold)
    if costs.blocks.shape != net.scores.shape:
        given, expected = (tuple(each.shape) for each in (costs.blocks, net.scores))
        raise ValueError(f"costs must be a table of {expected}, one a block and operation, got {given}")
    if math.isnan(float(price(torch.tensor(costs.fixed)))):
        raise ValueError(f"{price} of {costs.fixed:g} {costs.unit} is not a number: take a smaller unit")
    settings = {"trainer": "FBNet", "price": f"{price}", "costs": costs.unit, "epochs": epochs}
    settings |= {"warm_up": warm_up, "learning_rate": learning_rate, "score_rate": score_rate}
    settings |= {"batch_size": batch_size, "hot": hot, "cold": cold, "seed": seed}
    search, start = _Search(copied(net).train(), data, costs, price, seed), time.process_time()
    rows, images = list[dict[str, float]](), 0
    for epoch in range(epochs):
        temperature = hot * (cold / hot) ** (epoch / max(1, epochs - 1))
        batches = search.batches(search.teaching, batch_size)
        for number, chosen in enumerate(batches):
            rate = learning_rate * (1 - (epoch + number / len(batches)) / epochs)
            loss = search.teach_weights(chosen, temperature, rate)
        images += len(search.teaching)
        if epoch >= warm_up:
            for chosen in search.batches(search.judging, batch_size):
                search.teach_scores(chosen, temperature, score_rate)
            images += len(search.judging)
        row = {"step": epoch + 1.0, "loss": loss, "accuracy": accuracy(search.net, data.validation)}
        row |= {"seconds": time.process_time() - start, "operations": images * search.operations}
        rows.append(row | {"temperature": temperature} | search.state())
    return Fit(search.net.eval(), pd.DataFrame(rows), settings)


class _Search:
    """A supernet in training, its images in two parts, and its costs."""

    def __init__(self, net: Supernet, data: Dataset, costs: CostTable, price: Price, seed: int) -> None:
        self.net, self.costs, self.price = net, costs, price
        self.images, self.labels = data.train.scaled(), data.train.labels
        self.generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self.labels), generator=self.generator)
        cut = round(WEIGHTS_SHARE * len(order))
        self.teaching, self.judging = order[:cut], order[cut:]
        self.weights = [weight for weight in net.parameters() if weight is not net.scores]
        self.operations = (1.0 + BACKWARD_COST) * multiply_accumulates(net, self.images[:1])

    def batches(self, images: Images, size: int) -> tuple[Images, ...]:
        """Some images in a new order, in batches."""
        return images[torch.randperm(len(images), generator=self.generator)].split(size)

    def teach_weights(self, chosen: Images, temperature: float, rate: float) -> float:
        """A step of the weights down the cross-entropy, which is returned."""
        mixture = gumbel_softmax(self.net.scores.detach(), temperature, self.generator)
        loss = functional.cross_entropy(self.net(self.images[chosen], mixture), self.labels[chosen])
        gradients = torch.autograd.grad(loss, self.weights)
        with torch.no_grad():
            for weight, gradient in zip(self.weights, gradients, strict=True):
                weight.sub_(gradient, alpha=rate)
        return loss.item()

    def teach_scores(self, chosen: Images, temperature: float, rate: float) -> None:
        """A step of the scores down the logarithm of the objective."""
        mixture = gumbel_softmax(self.net.scores, temperature, self.generator)
        loss = functional.cross_entropy(self.net(self.images[chosen], mixture), self.labels[chosen])
        objective = loss.log() + self.price(self.costs.expected(mixture)).log()
        (gradient,) = torch.autograd.grad(objective, self.net.scores)
        with torch.no_grad():
            self.net.scores.sub_(gradient, alpha=rate)

    def state(self) -> dict[str, float]:
        """The expected cost, and the probability of each operation."""
        probabilities = self.net.scores.detach().softmax(1)
        row = {"cost": float(self.costs.expected(probabilities))}
        for number, each in enumerate(probabilities.tolist()):
            row |= {f"{name} in block {number}": p for name, p in zip(OPERATIONS, each, strict=True)}
        return row
