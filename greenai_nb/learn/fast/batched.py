"""Many chains at once, side by side on one device: the law of ``greenai_nb.learn.fast.chain`` in torch.

The chains share the images, and in each step every chain proposes to move one weight. With the
activations a of its unit, the pixels x under a weight and the weights v out of the unit, a change of a
hidden weight, or of the weight from the unit to class c, shifts the logit k of image i by s_i v_k,

    hidden:  s = relu(a + change x) - relu(a) ;        output:  s = relu(a) ,  v_k = change [k = c] ,

and the summed loss, with the probabilities p, by

    sum_i log(1 + sum_k p_ik (exp(s_i v_k) - 1)) - s_i v_y  >=  sum_i s_i (sum_k p_ik v_k - v_y) .

Chains whose proposal the bound on the right rejects are left out of the exact change. What is proposed
does not depend on the weights, so it is drawn ahead, and is the same on every device.

Source: the slides, *Accept-Reject algorithm*; Metropolis et al. (1953); Hastings (1970).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor, nn
from torch.nn import functional

from greenai_nb.checks import whole
from greenai_nb.learn.fast import state
from greenai_nb.learn.fast.chain import Settings
from greenai_nb.learn.fast.kernels import DECADES
from greenai_nb.learn.fast.softmax import LARGEST_STEP, MIN_MASS
from greenai_nb.theory.prior import EXPONENT, HeavyTail


@dataclass(frozen=True)
class Chains:
    """Weights and cached values of several chains; tensors change in place.

    ``start`` is the compiled chain that they are copies of. Filters have their bias in the last column,
    and the last of the ``rows`` of ``outgoing`` holds the biases of the output, if it has any; its
    activation is always 1. ``brightest`` is the size of the largest pixel under each weight.
    """

    start: state.Chain
    filters: Float[Tensor, "chains units weights"]
    outgoing: Float[Tensor, "chains rows classes"]
    pixels: Tensor
    brightest: Float[Tensor, " weights"]
    labels: Int64[Tensor, " images"]
    activations: Float[Tensor, "chains rows images"]
    probabilities: Float[Tensor, "chains classes images"]


class Draws(NamedTuple):
    """What chains propose: a step by ``amount`` from the weight, or to ``redraw`` it as ``amount``.

    A hidden move is of the weight of ``unit`` at ``column``, an ``output`` move of that to ``label``.
    ``scale`` is the prior's. The shape is (steps, chains), or (chains,) for one step.
    """

    output: Bool[Tensor, "*steps chains"]
    unit: Int64[Tensor, "*steps chains"]
    column: Int64[Tensor, "*steps chains"]
    label: Int64[Tensor, "*steps chains"]
    redraw: Bool[Tensor, "*steps chains"]
    amount: Float[Tensor, "*steps chains"]
    scale: Float64[Tensor, "*steps chains"]  # of some priors too small for single precision
    log_uniform: Float64[Tensor, "*steps chains"]


class Decisions(NamedTuple):
    """What became of proposals: ``loss_change`` is in nats, and NaN where the bound rejected them."""

    change: Float[Tensor, "*steps chains"]
    log_prior_ratio: Float64[Tensor, "*steps chains"]
    loss_change: Float64[Tensor, "*steps chains"]
    accepted: Bool[Tensor, "*steps chains"]


def chains_at(start: state.Chain, count: int, device: str | torch.device = "cpu") -> Chains:
    """``count`` copies of a compiled chain on a device, each of which goes its own way.

    Raises ``TypeError`` for a chain without hidden units or with filters smaller than the image, and
    ``ValueError`` for a count below 1 and a device that is not there.
    """
    whole(count=count)
    if not len(start.filters) or start.places.shape[1] > 1:
        raise TypeError(
            "chains on a device move linear, ReLU, linear: greenai_nb.learn.fast.chain moves more"
        )
    try:
        torch.zeros(1, device=device).item()
    except (AssertionError, RuntimeError) as error:
        raise ValueError(
            f"there is no device {str(device)!r} to compute on ({error}): take 'cpu'"
        ) from error
    labels = np.repeat(np.arange(len(start.ends) - 1), np.diff(start.ends))
    of_all = start.pixels, start.brightest.max(1) / start.white, labels
    shared = (torch.from_numpy(each).to(device) for each in of_all)
    one = start.filters, start.outgoing, start.activations, start.mass
    own = [torch.from_numpy(each).to(device).repeat(count, 1, 1) for each in one]
    chains = Chains(start, *own[:2], *shared, *own[2:])
    refresh(chains)
    return chains


@torch.no_grad()
def refresh(chains: Chains) -> Float64[Tensor, " chains"]:
    """Recompute the caches from the weights, against rounding; returns the summed loss of each chain."""
    pixels, losses = chains.pixels.to(chains.filters.dtype) / float(chains.start.white), list[Tensor]()
    each = zip(chains.filters, chains.outgoing, chains.activations, chains.probabilities, strict=True)
    for filters, outgoing, activations, probabilities in each:
        torch.mm(filters, pixels, out=activations[: len(filters)])
        logits = outgoing.T @ activations.relu()
        probabilities.copy_(logits.softmax(0).clamp_(min=float(MIN_MASS)))
        losses.append(functional.cross_entropy(logits.T.double(), chains.labels, reduction="sum"))
    return torch.stack(losses)


def draw(chains: Chains, steps: int, settings: Settings, generator: np.random.Generator) -> Draws:
    """What is proposed in some steps, as in ``fast.chain``. ``ValueError`` unless ``block`` is 1."""
    if settings.block != 1:
        raise ValueError(f"these chains draw a unit for every move: set block=1, got {settings.block}")
    start, shape, law = chains.start, (steps, len(chains.filters)), settings.steps(chains.start)
    output = generator.random(shape) < law.output_prob
    unit = generator.integers(0, np.where(output, len(start.outgoing), len(start.filters)))
    column = np.searchsorted(start.column_cdf, generator.random(shape))
    label = generator.integers(0, start.outgoing.shape[1], shape)
    scale = np.where(output, law.scales_out[unit], law.scales[column])
    redraw = generator.random(shape) < law.redraw_prob
    size = np.where(output, law.output, law.hidden) * 10 ** generator.uniform(-DECADES, DECADES, shape)
    move, new = size * generator.standard_normal(shape), scale * HeavyTail(1.0).sample(shape, generator)
    amount, uniform = np.where(redraw, new, move).astype(np.float32), generator.random(shape)
    drawn = output, unit, column, label, redraw, amount, scale, np.log1p(-uniform)
    return Draws(*(torch.from_numpy(each).to(chains.labels.device) for each in drawn))


@torch.no_grad()
def step(chains: Chains, drawn: Draws, inverse_temperature: float) -> Decisions:
    """Decide one proposal of every chain, on all images: accept it iff log U < log rho."""
    output, unit, column, label, redraw, amount, scale, log_uniform = drawn
    number = torch.arange(len(unit), device=unit.device)
    weight = number, unit.clamp(max=len(chains.start.filters) - 1), column
    weight_out = number, unit, label
    old = torch.where(output, chains.outgoing[weight_out], chains.filters[weight])
    new = torch.where(redraw, amount, old + amount)
    if chains.start.binary:
        new = torch.where(output, new, -old)
    change = new - old
    log_ratio = EXPONENT * ((old / scale).abs().log1p() - (new / scale).abs().log1p())
    log_ratio.masked_fill_(redraw, 0.0)

    activation, outgoing = chains.activations[number, unit], chains.outgoing[number, unit]
    moved = activation + (change / float(chains.start.white))[:, None] * chains.pixels[column]
    units = activation.relu()
    shift = torch.where(output[:, None], units, moved.relu() - units)
    to_label = functional.one_hot(label, outgoing.shape[1]) * change[:, None]
    along = torch.where(output[:, None], to_label, outgoing)
    slope = (along[:, None] @ chains.probabilities)[:, 0] - along[:, chains.labels]
    bound = (shift * slope).sum(1, dtype=torch.float64)
    of_filter = chains.brightest[column] * outgoing.abs().amax(1)
    reach = change.abs() * torch.where(output, units.amax(1), of_filter)
    wanted = log_uniform < log_ratio - inverse_temperature * bound
    late = (wanted & (reach <= LARGEST_STEP)).nonzero().flatten()
    along, shift, before = along[late], shift[late], chains.probabilities[late]
    grown = (along[:, :, None] * shift[:, None]).expm1_().mul_(before)
    total = 1 + grown.sum(1)
    exact = (total.log() - shift * along[:, chains.labels]).sum(1, dtype=torch.float64)
    loss_change = torch.full_like(bound, torch.nan).index_copy_(0, late, exact)
    accepted = log_uniform < log_ratio - inverse_temperature * loss_change
    won = accepted[late].nonzero().flatten()

    taken = change.masked_fill(~accepted, 0.0)
    chains.filters[weight] += taken.masked_fill(output, 0.0)
    chains.outgoing[weight_out] += taken.masked_fill(~output, 0.0)
    in_unit = (accepted & ~output)[:, None]
    chains.activations[number, unit] = torch.where(in_unit, moved, activation)
    after = (before[won] + grown[won]).div_(total[won, None]).clamp_(min=float(MIN_MASS))
    chains.probabilities[late[won]] = after
    return Decisions(change, log_ratio, loss_change, accepted)


def sweep(chains: Chains, steps: int, settings: Settings, generator: np.random.Generator) -> Decisions:
    """Move every chain by some steps; the result has the shape (steps, chains).

    Caches are in single precision: ``refresh`` them every few ten thousand steps.
    """
    drawn = draw(chains, steps, settings, generator)
    temperature = settings.steps(chains.start).inverse_temperature
    decisions = (step(chains, Draws(*now), temperature) for now in zip(*drawn, strict=True))
    return Decisions(*map(torch.stack, zip(*decisions, strict=True)))


def write(chains: Chains, number: int, net: nn.Module) -> None:
    """Set the weights of a network to those of one chain."""
    filters, outgoing = (w[number].numpy(force=True) for w in (chains.filters, chains.outgoing))
    state.write(chains.start._replace(filters=filters, outgoing=outgoing), net)
