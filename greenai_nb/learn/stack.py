"""Train many networks of one shape as one: the numbers are those of training alone.

The networks have one hidden layer and see the same batches, so the first layers of all N are a single
product, (images x inputs)(inputs x N units). Masks hold weights at zero:

    w_i <- w_i - eta_i m_i dl_i/dw_i ,    i = 1 ... N ,

and the rewiring of a network, if it has one, changes its masks and weights after a step.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from greenai_nb.checks import positive, whole
from greenai_nb.data.datasets import Dataset
from greenai_nb.learn.fit import Fit, accuracies
from greenai_nb.learn.sgd import BACKWARD_COST, descend
from greenai_nb.learn.store import remembered
from greenai_nb.nets.architectures import mlp
from greenai_nb.nets.weights import copied

Weight = Float[Tensor, "outputs inputs"]


class Layer(NamedTuple):
    """The weights of one layer of one network, zero where the mask is."""

    weight: Weight
    mask: Bool[Tensor, "outputs inputs"]


Masks = Sequence[Bool[Tensor, "outputs inputs"]]
AfterStep = Callable[[Sequence[Weight], float, float], None]


class Rewiring(Protocol):
    """A rule that moves the connections of a network while it trains."""

    def begin(self, layers: Sequence[Layer], generator: torch.Generator) -> AfterStep:
        """What to do after each step, given the gradients, the share of training done and the rate.

        It changes the layers' weights and masks in place, from their state at the start on.
        """


class Stack(nn.Module):
    """Networks of one shape, as ``mlp`` makes them: Flatten, Linear, ReLU and Linear, without biases."""

    hidden_mask: Tensor
    output_mask: Tensor

    def __init__(self, nets: Sequence[nn.Sequential], masks: Sequence[Masks] | None = None) -> None:
        super().__init__()
        weights = [_weights(net) for net in nets]
        if len({tuple(each.shape for each in pair) for pair in weights}) != 1:
            raise ValueError("a stack takes networks of one shape, at least one")
        masks = masks or [[torch.ones_like(w, dtype=torch.bool) for w in pair] for pair in weights]
        hidden, output = (torch.stack([pair[n].detach() for pair in weights]) for n in (0, 1))
        for n, name in enumerate(("hidden_mask", "output_mask")):
            self.register_buffer(name, torch.stack([pair[n] for pair in masks]))
        self.hidden = nn.Parameter(hidden * self.hidden_mask)
        self.output = nn.Parameter(output * self.output_mask)

    def forward(self, x: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch networks classes"]:
        networks, units, _ = self.hidden.shape
        hidden = torch.relu(x.flatten(1) @ self.hidden.flatten(0, 1).T).view(-1, networks, units)
        return torch.einsum("bnu,ncu->bnc", hidden, self.output)

    def layers(self, network: int) -> list[Layer]:
        """Views of a network's weights and masks."""
        hidden = Layer(self.hidden.detach()[network], self.hidden_mask[network])
        return [hidden, Layer(self.output.detach()[network], self.output_mask[network])]

    def network(self, number: int) -> nn.Sequential:
        """A copy of one network."""
        (_, units, inputs), classes = self.hidden.shape, self.output.shape[1]
        net = mlp(inputs, units, classes)
        net[1].weight.data = self.hidden.detach()[number].clone()
        net[3].weight.data = self.output.detach()[number].clone()
        return net

    def __len__(self) -> int:
        return len(self.hidden)


@remembered
def fit_stack(
    stack: Stack,
    data: Dataset,
    *,
    epochs: int,
    learning_rate: float = 1.0,
    batch_size: int = 64,
    seed: int = 0,
    rewirings: Sequence[Rewiring | None] | None = None,
) -> Fit:
    """Train a copy of a stack by stochastic gradient descent, as ``fit_sgd`` trains one network.

    The learning rate falls linearly to zero, and ``seed`` orders the images, the same for all networks,
    and draws for their ``rewirings``. The fit's network is a stack. Loss and accuracy of its trace are
    means over networks; seconds and operations are totals, and masked weights count, because they are
    multiplied, too. An interrupt after the first epoch returns the finished epochs. Raises
    ``ValueError`` for settings out of range and rewirings that are not one for each network.
    """
    whole(epochs=epochs, batch_size=batch_size)
    positive(learning_rate=learning_rate)
    rules = [None] * len(stack) if rewirings is None else rewirings
    if len(rules) != len(stack):
        raise ValueError(f"{len(stack)} networks need as many rewirings, got {len(rules)}")
    settings = {"trainer": "SGD of a stack", "epochs": epochs, "learning_rate": learning_rate}
    settings |= {"batch_size": batch_size, "seed": seed, "networks": len(stack)}
    trained = copied(stack)
    trace, interrupted = descend(
        trained,
        _Descent(trained, rules, seed, epochs * -(-len(data.train) // batch_size)).step,
        lambda: float(accuracies(trained, data.validation).mean()),
        data,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        operations=sum(weight.numel() for weight in trained.parameters()) * (1 + BACKWARD_COST),
        generator=torch.Generator().manual_seed(seed),
    )
    return Fit(trained.eval(), trace, settings, interrupted=interrupted)


class _Descent:
    """Steps of all networks, and of their rewirings."""

    def __init__(self, stack: Stack, rules: Sequence[Rewiring | None], seed: int, steps: int) -> None:
        self.stack, self.steps, self.done = stack, steps, 0
        self.after = list[tuple[int, AfterStep]]()
        for network, rule in enumerate(rules):
            if rule is not None:
                own = torch.Generator().manual_seed(1_000_003 * seed + network)
                self.after.append((network, rule.begin(stack.layers(network), own)))

    def step(self, images: Tensor, labels: Int64[Tensor, " batch"], rate: float) -> float:
        """One step; returns the mean loss of all networks before it."""
        stack = self.stack
        everyones = labels.repeat_interleave(len(stack))
        loss = functional.cross_entropy(stack(images).flatten(0, 1), everyones, reduction="sum")
        weights = stack.hidden, stack.output
        gradients = torch.autograd.grad(loss / len(labels), weights)
        self.done += 1
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.sub_(gradient, alpha=rate)
            stack.hidden.mul_(stack.hidden_mask)
            stack.output.mul_(stack.output_mask)
            for network, rewire in self.after:
                rewire([gradient[network] for gradient in gradients], self.done / self.steps, rate)
        return loss.item() / len(everyones)


def _weights(net: nn.Sequential) -> list[Weight]:
    kinds = [type(layer) for layer in net]
    linear: list[Any] = [layer for layer in net if isinstance(layer, nn.Linear) and layer.bias is None]
    if kinds != [nn.Flatten, nn.Linear, nn.ReLU, nn.Linear] or len(linear) < 2:
        raise TypeError(f"a stack takes networks of mlp without biases, got {net}")
    return [layer.weight for layer in linear]
