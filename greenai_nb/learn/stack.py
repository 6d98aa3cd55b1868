"""Train many networks of one shape as one: the numbers are those of training alone.

The networks see the same batches, so the first layers of all N are a single product, (images x inputs)
(inputs x N units). Masks hold weights at zero:

    w_i <- w_i - eta_i m_i dl_i/dw_i ,    i = 1 ... N ,

and the rewiring of a network, if it has one, changes its masks and weights after a step.
"""

from collections.abc import Callable, Mapping, Sequence
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
from greenai_nb.nets.quantize import QuantizedActivation, QuantizedGradient, QuantizedLinear
from greenai_nb.nets.weights import copied, device_of

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


class _Linear(nn.Module):
    """The linear layers of all networks, each with its mask, and its quantizer if it has one."""

    mask: Tensor

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.register_buffer("mask", torch.ones(self.weight.shape, dtype=torch.bool))
        self.quantizers = [layer.quantizer for layer in layers if isinstance(layer, QuantizedLinear)]

    def forward(self, x: Tensor) -> Float[Tensor, "batch networks units"]:
        weight: Tensor = self.weight
        if self.quantizers:
            pairs = zip(self.quantizers, weight, strict=True)
            weight = torch.stack([quantizer(each) for quantizer, each in pairs])
        if x.ndim == 2:  # all networks see the same images
            return (x @ weight.flatten(0, 1).T).unflatten(1, weight.shape[:2])
        return torch.einsum("bnu,ncu->bnc", x, weight)

    def of(self, network: int) -> dict[str, Tensor]:
        """The state of the layer of one network."""
        return {"weight": self.weight.detach()[network]}


class _Norm(nn.BatchNorm1d):
    """The batch norms of all networks: each unit of each network is a feature."""

    def __init__(self, norms: Sequence[nn.BatchNorm1d]) -> None:
        like, features = norms[0], sum(norm.num_features for norm in norms)
        super().__init__(features, like.eps, like.momentum, like.affine, like.track_running_stats)
        self.networks = len(norms)
        for name, value in self.state_dict().items():
            each = [norm.state_dict()[name] for norm in norms]
            value.copy_(torch.cat(each) if value.ndim else each[0])

    def forward(self, x: Float[Tensor, "batch networks units"]) -> Tensor:
        return super().forward(x.flatten(1)).view_as(x)

    def of(self, network: int) -> dict[str, Tensor]:
        """The state of the batch norm of one network."""
        state = self.state_dict().items()
        return {name: x.chunk(self.networks)[network] if x.ndim else x for name, x in state}


class _Gradient(QuantizedGradient):
    """The quantizers of all networks' gradients, each with its own noise."""

    def __init__(self, layers: Sequence[QuantizedGradient]) -> None:
        super().__init__(layers[0].bits)
        self.each = nn.ModuleList(copied(layer) for layer in layers)

    def forward(self, x: Float[Tensor, "batch networks units"]) -> Tensor:
        return super().forward(x.flatten(0, 1)).view_as(x)

    def noise(self, like: Tensor) -> Tensor:
        parts = like.unflatten(0, (-1, len(self.each))).unbind(1)
        pairs: Any = zip(self.each, parts, strict=True)
        return torch.stack([layer.noise(part) for layer, part in pairs], 1).flatten(0, 1)

    def of(self, network: int) -> dict[str, Tensor]:
        """The state of the quantizer of one network."""
        return self.each[network].state_dict()


STACKED: Mapping[type[nn.Module], Callable[[Sequence[Any]], nn.Module]] = {
    **dict.fromkeys((nn.Linear, QuantizedLinear), _Linear),
    nn.BatchNorm1d: _Norm,
    QuantizedGradient: _Gradient,
    **dict.fromkeys((nn.Flatten, nn.ReLU, QuantizedActivation), lambda layers: copied(layers[0])),
}


class Stack(nn.Module):
    """Networks of one shape, layers in a row and linear ones without biases, as ``mlp`` makes them.

    Batch norms and quantized layers are permitted, as in ``dorefa_mlp``; the bits of activations and
    gradients are the same in all networks. ``masks`` are those of the linear layers, for each network.
    """

    def __init__(self, nets: Sequence[nn.Sequential], masks: Sequence[Masks] | None = None) -> None:
        super().__init__()
        shapes = dict.fromkeys(_shape(net) for net in nets)
        if len(shapes) != 1:
            lines = [line.strip() for shape in shapes for line in shape.splitlines()]
            differ = " and ".join(line for line in lines if lines.count(line) < len(shapes)) or "none"
            raise ValueError(f"a stack takes networks of one shape and the same settings, got {differ}")
        self.alone = [copied(net) for net in nets]  # in a list: their weights are not the stack's
        self.rows = nn.Sequential(
            *(STACKED[type(layers[0])](layers) for layers in zip(*nets, strict=True))
        )
        if masks:
            for row, each in zip(self.linear, zip(*masks, strict=True), strict=True):
                row.mask = torch.stack(each)
                row.weight.data.mul_(row.mask)

    def forward(self, x: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch networks classes"]:
        return self.rows(x)

    @property
    def linear(self) -> list[_Linear]:
        """The linear layers, in order."""
        return [row for row in self.rows if isinstance(row, _Linear)]

    def layers(self, network: int) -> list[Layer]:
        """Views of a network's weights and masks."""
        return [Layer(row.weight.detach()[network], row.mask[network]) for row in self.linear]

    def network(self, number: int) -> nn.Sequential:
        """A copy of one network."""
        net = copied(self.alone[number]).to(device_of(self))
        for layer, row in zip(net, self.rows, strict=True):
            if isinstance(row, _Linear | _Norm | _Gradient):
                layer.load_state_dict(row.of(number))
        return net.train(self.training)

    def __len__(self) -> int:
        return len(self.alone)


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
    trained = copied(stack).train()
    trace, interrupted = descend(
        trained,
        _Descent(trained, rules, seed, epochs * -(-len(data.train) // batch_size)).step,
        lambda: float(accuracies(trained, data.validation).mean()),
        data,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        operations=sum(row.weight.numel() for row in trained.linear) * (1 + BACKWARD_COST),
        generator=torch.Generator().manual_seed(seed),
    )
    return Fit(trained.eval(), trace, settings, interrupted=interrupted)


class _Descent:
    """Steps of all networks, and of their rewirings."""

    def __init__(self, stack: Stack, rules: Sequence[Rewiring | None], seed: int, steps: int) -> None:
        self.stack, self.steps, self.done = stack, steps, 0
        self.linear = [row.weight for row in stack.linear]
        rest = [weight for weight in stack.parameters() if not any(weight is w for w in self.linear)]
        self.weights = [*self.linear, *rest]
        self.masked = [row for row in stack.linear if any(rules) or not row.mask.all()]
        self.after = list[tuple[int, AfterStep]]()
        for network, rule in enumerate(rules):
            if rule is not None:
                own = torch.Generator().manual_seed(1_000_003 * seed + network)
                self.after.append((network, rule.begin(stack.layers(network), own)))

    def step(self, images: Tensor, labels: Int64[Tensor, " batch"], rate: float) -> float:
        """One step; returns the mean loss of all networks before it."""
        everyones = labels.repeat_interleave(len(self.stack))
        loss = functional.cross_entropy(self.stack(images).flatten(0, 1), everyones, reduction="sum")
        gradients = torch.autograd.grad(loss / len(labels), self.weights)
        self.done += 1
        with torch.no_grad():
            for weight, gradient in zip(self.weights, gradients, strict=True):
                weight.sub_(gradient, alpha=rate)
            for row in self.masked:
                row.weight.mul_(row.mask)
            for network, rewire in self.after:
                own = [gradient[network] for gradient in gradients[: len(self.linear)]]
                rewire(own, self.done / self.steps, rate)
        return loss.item() / len(everyones)


def _shape(net: nn.Sequential) -> str:
    for layer in net:
        biased = isinstance(layer, nn.Linear) and layer.bias is not None
        if type(layer) not in STACKED or biased:
            known = ", ".join(kind.__name__ for kind in STACKED)
            raise TypeError(f"a stack takes {known} in a row, linear ones without bias, got {layer}")
    bits = [layer.bits for layer in net if isinstance(layer, QuantizedActivation | QuantizedGradient)]
    return f"{net}\nbits {bits}"
