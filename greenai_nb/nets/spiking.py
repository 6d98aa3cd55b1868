"""Spiking layers: codes of an image in time, units that leak and fire, and a price on their spikes.

A leaky integrate-and-fire unit adds up its current I_t, fires at the threshold 1, and is reset by it,

    v_t = leak v_{t-1} + I_t - s_{t-1} ,        s_t = 1 if v_t >= 1, else 0 .

The step has no useful gradient, so the backward pass takes that of u / (1 + k abs(u)), u = v - 1,

    ds/du = 1 / (1 + k abs(u))^2 .

With it the loss's gradient g_t in the spikes becomes one in the currents, backward in time:

    d_t = (g_t - d_{t+1}) ds_t/du_t + leak d_{t+1} .

An image x in [0, 1] is told in T steps by one of three codes:

    latency    one spike in step floor((1 - x) T) + 1, at most T; none where x <= 0.1
    rate       floor(t x + 1/2) - floor((t - 1) x + 1/2) spikes in step t, so floor(T x + 1/2) in all
    current    x itself, as a constant current in all steps

Source: Neftci, Mostafa and Zenke, *Surrogate gradient learning in spiking neural networks* (2019);
Zenke and Ganguli, *SuperSpike* (2018), for the surrogate; the rate code as implemented here.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from pandas import DataFrame
from torch import Tensor, nn

from greenai_nb.checks import non_negative, one_of, positive, whole

THRESHOLD = 1.0
DARK = 0.1  # pixels that are no brighter send no spike in the latency code
INITIAL_SPREAD = 1.5  # of input weights, times the root of their number, so that units fire at first
SHARPNESS = 5.0  # k of the surrogate gradient

Images = Float[Tensor, "batch *shape"]
InTime = Float[Tensor, "batch steps units"]


class _Fire(torch.autograd.Function):
    """Forward a step at zero; backward the slope 1 / (1 + k |u|)^2."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, sharpness: float) -> Tensor:
        ctx.save_for_backward(u)
        ctx.sharpness = sharpness
        return (u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (u,) = ctx.saved_tensors
        return gradients[0] * surrogate_slope(u, ctx.sharpness), None


def surrogate_slope(u: Float[Tensor, "*shape"], sharpness: float) -> Float[Tensor, "*shape"]:
    """The slope that stands in for that of the step at ``u`` = membrane - threshold."""
    return 1 / (1 + sharpness * u.abs()) ** 2


def fire(membrane: Float[Tensor, "*shape"], sharpness: float = SHARPNESS) -> Float[Tensor, "*shape"]:
    """1 where a membrane has reached the threshold and 0 elsewhere, with the surrogate gradient."""
    if not membrane.requires_grad:
        return torch.ge(membrane, THRESHOLD, out=torch.empty_like(membrane))
    return _Fire.apply(membrane - THRESHOLD, sharpness)


def leak_and_fire(current: InTime, leak: float) -> tuple[InTime, InTime]:
    """Membranes and spikes of leaky units that start at zero and receive these currents."""
    membrane = spikes = torch.zeros_like(current[:, 0])
    membranes, sent = list[Tensor](), list[Tensor]()
    for now in current.unbind(1):
        membrane = leak * membrane + now - spikes
        spikes = fire(membrane)
        membranes.append(membrane)
        sent.append(spikes)
    return torch.stack(membranes, 1), torch.stack(sent, 1)


class _LeakAndFire(torch.autograd.Function):
    """Forward the spikes; backward the recursion above, faster than autograd would unroll the steps."""

    @staticmethod
    def forward(ctx: Any, current: Tensor, leak: float, sharpness: float) -> Tensor:
        membranes, spikes = leak_and_fire(current, leak)
        ctx.save_for_backward(membranes)
        ctx.leak, ctx.sharpness = leak, sharpness
        return spikes

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (membranes,) = ctx.saved_tensors
        slopes = surrogate_slope(membranes - THRESHOLD, ctx.sharpness).unbind(1)
        later, found = torch.zeros_like(slopes[0]), list[Tensor]()
        for slope, gradient in zip(slopes[::-1], gradients[0].unbind(1)[::-1], strict=True):
            later = slope * (gradient - later) + ctx.leak * later
            found.append(later)
        return torch.stack(found[::-1], 1), None, None


class LeakyUnits(nn.Module):
    """Leaky integrate-and-fire units; currents of a single step stay on for all ``steps``."""

    def __init__(self, steps: int, leak: float = 0.9, sharpness: float = SHARPNESS) -> None:
        super().__init__()
        whole(steps=steps)
        check_leak(leak=leak)
        positive(sharpness=sharpness)
        self.steps, self.leak, self.sharpness = steps, leak, sharpness

    def forward(self, current: InTime) -> InTime:
        if current.ndim != 3 or current.shape[1] not in (1, self.steps):
            raise ValueError(
                f"currents must have the shape (batch, {self.steps}, units), or one constant step, got "
                f"{tuple(current.shape)}: these units were built for a code of {self.steps} steps"
            )
        return _LeakAndFire.apply(current.expand(-1, self.steps, -1), self.leak, self.sharpness)


class _Code(nn.Module):
    """Tells an image in some steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        whole(steps=steps)
        self.steps = steps


class Latency(_Code):
    """Each pixel sends one spike, the brighter the earlier, and a dark one none."""

    def forward(self, images: Images) -> InTime:
        pixels = images.flatten(1)[:, None]
        when = ((1 - pixels) * self.steps).long().clamp(max=self.steps - 1)
        spikes = pixels.new_zeros(len(pixels), self.steps, pixels.shape[2])
        return spikes.scatter_(1, when, (pixels > DARK).to(pixels.dtype))


class Rate(_Code):
    """Each pixel sends spikes at even distances, as many as it is bright."""

    def forward(self, images: Images) -> InTime:
        pixels = images.flatten(1)[:, None]
        steps = torch.arange(1, self.steps + 1, dtype=pixels.dtype, device=pixels.device)[:, None]
        return (steps * pixels + 0.5).floor() - ((steps - 1) * pixels + 0.5).floor()


class Current(_Code):
    """Each pixel is a constant current, told once."""

    def forward(self, images: Images) -> InTime:
        return images.flatten(1)[:, None]


CODES: dict[str, type[_Code]] = {"latency": Latency, "rate": Rate, "current": Current}
SENDERS = (Latency, Rate, LeakyUnits)


class _PriceSpikes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spikes: Tensor, penalty: float) -> Tensor:
        ctx.penalty = penalty
        return spikes.view_as(spikes)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        batch, _, units = gradients[0].shape
        return gradients[0] + ctx.penalty / (batch * units), None


class Silence(nn.Module):
    """The identity, whose backward pass adds the gradient of a price on spikes to that of the loss.

    The price is ``penalty`` times the number of spikes that a unit sends for an image, on average over
    units and images. In evaluation mode the module does nothing.
    """

    def __init__(self, penalty: float) -> None:
        super().__init__()
        non_negative(penalty=penalty)
        self.penalty = penalty

    def forward(self, spikes: InTime) -> InTime:
        return _PriceSpikes.apply(spikes, self.penalty) if self.training else spikes


class MeanOverTime(nn.Module):
    """The mean over the steps, a mere division where spikes add up weights as they arrive."""

    def forward(self, x: InTime) -> Float[Tensor, "batch units"]:
        return x.mean(1)


def spiking_mlp(
    inputs: int,
    hidden: int,
    classes: int = 10,
    *,
    code: str = "latency",
    steps: int = 4,
    leak: float = 0.9,
    silence: float = 0.1,
    sharpness: float = SHARPNESS,
) -> nn.Sequential:
    """One hidden layer of leaky units; the logits are output weights on their mean spikes over time.

    The output weights act on the spikes of each step, and the mean is taken behind them, which is the
    same. ``silence`` is the penalty of ``Silence``. Raises ``ValueError`` for a code that is not in
    ``CODES``, fewer than one step, and a leak outside [0, 1].
    """
    one_of(CODES, code=code)
    first = nn.Linear(inputs, hidden, bias=False)
    nn.init.normal_(first.weight, std=INITIAL_SPREAD / inputs**0.5)
    return nn.Sequential(
        *(CODES[code](steps), first),
        *(LeakyUnits(steps, leak, sharpness), Silence(silence)),
        *(nn.Linear(hidden, classes, bias=False), MeanOverTime()),
    )


@torch.no_grad()
def arriving_spikes(net: nn.Sequential, images: Images) -> dict[str, int]:
    """How many spikes of these images arrive at each linear layer that receives spikes, by its name."""
    arriving, x, are_spikes = dict[str, int](), images, False
    for name, layer in net.named_children():
        if isinstance(layer, nn.Linear) and are_spikes:
            arriving[name] = int(x.count_nonzero())
        x = layer(x)
        are_spikes = isinstance(layer, SENDERS) or (are_spikes and isinstance(layer, Silence))
    return arriving


def by_events(table: DataFrame, arriving: Mapping[str, float]) -> DataFrame:
    """A table of counts whose layers add a weight where a spike arrives, instead of multiplying all.

    ``arriving`` are the spikes by layer, from ``arriving_spikes`` for the images that were counted, or a
    mean. A spike that arrives is a synaptic operation for each output, and reads a weight for each:
    ``weight_bytes`` are then all that are read, in a batch again for every image. Raises ``ValueError``
    for a layer that the table lacks.
    """
    if unknown := set(arriving) - set(table["layer"]):
        raise ValueError(f"spikes arrive at {unknown}, the table has {', '.join(table['layer'])}")
    rows = table.to_dict("records")
    for row in rows:
        if (spikes := arriving.get(row["layer"])) is not None:
            events = spikes * row["macs"] / row["inputs"]
            row["weight_bytes"] *= events / row["weights"]
            row |= {"macs": 0, "nonzero_macs": 0, "synaptic_operations": events}
    return DataFrame(rows)


def check_leak(**values: float) -> None:
    """Raise ``ValueError`` unless every value is a number in [0, 1]."""
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be a number in [0, 1], got {value!r}")
