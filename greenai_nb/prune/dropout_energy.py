"""EDropout: a population of masks searches for units to keep, by the energy of what they let through.

A mask s in {0, 1}^D keeps units of a network, whose logits are then z(s). Its energy on a batch is minus
the mean margin of the right class y,

    E(s) = -mean( z_y(s) - max_{j != y} z_j(s) ) .

Each batch makes one generation: every mask gets a rival, which replaces it if its energy is lower. From
three other masks a, b and c, a gene of the rival is a's, or with probability 0.1 it is 1 - a where
b = c, and 0 where they differ; it is the old mask's with probability 0.1. (This is the authors' code;
textbooks flip where b and c differ.) The best mask's units take a step of gradient descent.

Source: Salehinejad and Valaee, *EDropout* (2021), and its published code.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from greenai_nb.checks import positive, whole
from greenai_nb.data.datasets import Dataset
from greenai_nb.learn.fit import Fit, accuracy
from greenai_nb.learn.sgd import BACKWARD_COST, descend
from greenai_nb.learn.store import remembered
from greenai_nb.nets.weights import copied, prunable_weights
from greenai_nb.prune.masks import Mask

POPULATION = 8
MUTATED, CROSSED = 0.1, 0.9  # probabilities of the authors' code

Population = Bool[Tensor, "masks units"]
Energies = Float[Tensor, " masks"]


def rivals(masks: Population, generator: torch.Generator) -> Population:
    """A rival for each of four masks or more."""
    number, units = masks.shape
    others = torch.rand(number, number, generator=generator)
    others.fill_diagonal_(torch.inf)  # nobody takes genes of itself
    a, b, c = masks[others.argsort(1)[:, :3].T]
    mutated = torch.rand(number, units, generator=generator) < MUTATED
    crossed = torch.rand(number, units, generator=generator) < CROSSED
    genes = torch.where(mutated, (b == c) & ~a, a)
    return torch.where(crossed, genes, masks)


def evolve(
    masks: Population,
    energies: Energies,
    energy: Callable[[Population], Energies],
    generator: torch.Generator,
    repair: Callable[[Population], Population] = torch.clone,
) -> None:
    """One generation, in place: a rival of lower energy replaces a mask.

    The energies of masks that stay are not computed again, although weights and batch change.
    """
    new = repair(rivals(masks, generator))
    lower = (found := energy(new)) < energies
    masks[lower], energies[lower] = new[lower], found[lower]


def exactly(masks: Float[Tensor, "masks units"], kept: int, generator: torch.Generator) -> Population:
    """Masks with this many units: the fewest are added or removed, at random."""
    ranks = masks + 0.5 * torch.rand(masks.shape, generator=generator)
    chosen = ranks.topk(kept, 1).indices
    full = torch.ones(chosen.shape, dtype=torch.bool)
    return torch.zeros(masks.shape, dtype=torch.bool).scatter(1, chosen, full)


def search_by_evolution(
    energy: Callable[[Population], Energies],
    units: int,
    kept: int,
    generations: int,
    generator: torch.Generator,
) -> float:
    """The lowest energy that a population finds in some generations, among masks of ``kept`` units."""
    masks = exactly(torch.rand(POPULATION, units, generator=generator).round(), kept, generator)
    energies = energy(masks)
    for _ in range(generations):
        evolve(masks, energies, energy, generator, lambda new: exactly(new.float(), kept, generator))
    return float(energies.min())


def search_by_metropolis(
    energy: Callable[[Population], Energies],
    units: int,
    kept: int,
    steps: int,
    generator: torch.Generator,
    inverse_temperature: float = 50.0,
) -> float:
    """The lowest energy of a Metropolis chain whose moves exchange a kept unit for another."""
    mask = exactly(torch.zeros(1, units), kept, generator)
    now = lowest = float(energy(mask))
    for _ in range(steps):
        proposal = mask.clone()
        for state in (True, False):
            places = (mask[0] == state).nonzero().flatten()
            proposal[0, places[torch.randint(len(places), (1,), generator=generator)]] = not state
        found = float(energy(proposal))
        if torch.rand(1, generator=generator) < math.exp(min(0.0, inverse_temperature * (now - found))):
            mask, now = proposal, found
        lowest = min(lowest, now)
    return lowest


def margin_energies(
    hidden: Float[Tensor, "batch units"],
    output: Float[Tensor, "classes units"],
    labels: Int64[Tensor, " batch"],
    masks: Population,
) -> Energies:
    """The energy of each mask of hidden units on a batch."""
    logits = torch.einsum("iu,mu,cu->mic", hidden, masks.float(), output)
    places = labels.expand(len(masks), -1)[..., None]
    right = logits.gather(2, places)[..., 0]
    others = logits.scatter(2, places, -torch.inf).amax(2)
    return -(right - others).mean(1)


@remembered
def fit_edropout(
    net: nn.Sequential,
    data: Dataset,
    *,
    epochs: int,
    learning_rate: float = 1.0,
    batch_size: int = 64,
    units: int | None = None,
    seed: int = 0,
) -> Fit:
    """Train a copy of ``mlp`` by EDropout on its hidden units; the result has zeros in all others.

    ``units`` holds the number of kept units, which the authors leave free: rivals get units added or
    removed at random. The rate falls linearly to zero. Raises ``ValueError`` for settings out of range.
    """
    whole(epochs=epochs, batch_size=batch_size, units=1 if units is None else units)
    positive(learning_rate=learning_rate)
    settings = {"trainer": "EDropout", "epochs": epochs, "learning_rate": learning_rate}
    settings |= {"batch_size": batch_size, "units": units, "seed": seed}
    trained, generator = copied(net), torch.Generator().manual_seed(seed)
    into, out = prunable_weights(trained)
    if units is not None and units > len(into):
        raise ValueError(f"units must be at most the {len(into)} of the network, got {units}")
    search = _Search(trained, generator, units)
    per_image = 1 + BACKWARD_COST
    trace, interrupted = descend(
        search,
        search.step,
        lambda: accuracy(search.best(), data.validation),
        data,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        operations=per_image * into.numel() + (per_image + POPULATION) * out.numel(),
        generator=generator,
    )
    return Fit(search.best().eval(), trace, settings, interrupted=interrupted)


class _Search(nn.Module):
    """A population of masks of a network's hidden units, and the network that it trains."""

    masks: Population
    energies: Energies

    def __init__(self, net: nn.Module, generator: torch.Generator, units: int | None) -> None:
        super().__init__()
        self.net, self.generator, self.units = net, generator, units
        self.into, self.out = prunable_weights(net)
        masks = torch.rand(POPULATION, len(self.into), generator=generator) < 0.5
        self.register_buffer("masks", self.repaired(masks))
        self.register_buffer("energies", torch.full((POPULATION,), torch.inf))

    def best(self) -> nn.Module:
        """A copy of the network whose other units are zero."""
        units = self.masks[self.energies.argmin()].to(self.into.device)
        return Mask((units[:, None].expand_as(self.into), units.expand_as(self.out))).applied(self.net)

    def repaired(self, masks: Population) -> Population:
        """Masks of the wanted number of units, if one is wanted."""
        return masks if self.units is None else exactly(masks.float(), self.units, self.generator)

    def step(self, images: Tensor, labels: Tensor, rate: float) -> float:
        """One generation, and a step of the best mask's network; returns the mean loss before it."""
        images = images.flatten(1)
        hidden = torch.relu(images @ self.into.T)

        def energy(masks: Population) -> Energies:
            return margin_energies(hidden, self.out, labels, masks.to(hidden.device)).cpu()

        if self.energies.isinf().all():
            self.energies = energy(self.masks)
        evolve(self.masks, self.energies, energy, self.generator, self.repaired)
        masked = hidden * self.masks[self.energies.argmin()].to(hidden.device)
        logits = (masked @ self.out.T).requires_grad_()
        loss = functional.cross_entropy(logits, labels)
        (slope,) = torch.autograd.grad(loss, logits)
        back = (slope @ self.out) * (masked > 0)
        self.out.sub_(slope.T @ masked, alpha=rate)
        self.into.sub_(back.T @ images, alpha=rate)
        return loss.item()
