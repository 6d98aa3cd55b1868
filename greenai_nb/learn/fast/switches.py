"""Spike and slab by unit: a switch takes a unit, or a filter, out of the network, and puts it back.

A switch z_g is 1 or 0 for each group g of weights: those into a unit, its bias, and those out of it.
The target is the Gibbs distribution of ``greenai_nb.learn.fast.chain`` over weights and switches,

    rho(z, w)  ~  exp(-lambda l(z w) - C sum_g z_g) pi(w) ,

where the network z w lacks the groups that are off, and e^-C are the prior odds for a unit. Each switch
in turn is drawn anew, given the rest: if D is the rise of the loss without the group, computed exactly,

    P(z_g = 1)  =  1 / (1 + exp(C - lambda D)) .

Metropolis would turn all switches in lockstep where C and D are zero. Between two such rounds, the moves
of ``chain`` go to groups that are on. The weights of the others wait as they are: given the switches,
moving any part of the weights leaves their distribution invariant.

Source: Mitchell and Beauchamp, *Bayesian variable selection in linear regression* (1988), for spike and
slab; George and McCulloch (1993), for switches that are drawn in turn.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from numpy import ndarray as Array
from scipy.special import expit
from torch import nn

from greenai_nb.checks import non_negative, whole
from greenai_nb.data.datasets import Dataset, Split
from greenai_nb.learn.fast.chain import ChainSettings
from greenai_nb.learn.fast.groups import GroupMover, RoundCounts, check_hidden
from greenai_nb.learn.fast.run import run
from greenai_nb.learn.fast.state import Chain, chain_at, layers
from greenai_nb.learn.fit import Fit
from greenai_nb.learn.store import remembered

SWITCHES, TURNS = "switches", ("off", "on")


@dataclass(frozen=True)
class SwitchSettings(ChainSettings):
    """The target and the proposals of ``ChainSettings``, and the switches.

    ``log_odds_against`` is C, in nats: the log of the prior odds that a unit is off. All switches are
    drawn anew every ``every`` proposals, after the first ``warm_up`` of them.
    """

    log_odds_against: float = 1000.0
    every: int = 8_000
    warm_up: int = 100_000

    def __post_init__(self) -> None:
        super().__post_init__()
        non_negative(log_odds_against=self.log_odds_against, warm_up=self.warm_up)
        whole(every=self.every, block=self.block)


@remembered
def fit_switches(
    net: nn.Module,
    data: Dataset,
    *,
    proposals: int,
    settings: SwitchSettings | None = None,
    seed: int = 0,
    evaluations: int = 10,
) -> Fit:
    """Train a copy of a network with one hidden layer by accept-reject, with a switch for each unit.

    The units that are off at the end have no weights in the network that is returned, and the
    table of moves has rows for the layer "switches": how many were drawn and turned "off" or "on".
    It returns and raises what ``fit_accept_reject`` does otherwise, ``TypeError`` for a network without
    hidden units and for other settings, and ``ValueError`` where the warm-up leaves no proposals.
    """
    settings = SwitchSettings() if settings is None else settings
    if not isinstance(settings, SwitchSettings):
        raise TypeError(f"settings must be SwitchSettings, got {type(settings).__name__}")
    check_hidden(net)
    if proposals < settings.warm_up + settings.every:
        raise ValueError(
            f"no switch is drawn within {proposals} proposals: the first time is after a warm-up of "
            f"{settings.warm_up} and {settings.every} more. Ask for more, or for a shorter warm-up."
        )
    size = {"proposals": proposals, "seed": seed, "evaluations": evaluations}
    fit = run(
        net, data, "accept-reject with switches", settings, _Switches, **size, block=settings.block
    )
    _clear(fit.net)
    return fit


def rise_without(net: nn.Module, split: Split) -> Float64[Array, " groups"]:
    """D of each group: how much the summed loss of a split would rise without this unit or filter.

    It is infinite where a logit would move further than the chain allows. Raises
    ``TypeError`` for a network that ``fit_switches`` does not take.
    """
    check_hidden(net)
    chain = chain_at(net, split.images, split.labels)
    mover = _Switches(SwitchSettings(), chain, np.random.default_rng(0))
    groups = map(mover.of, range(len(chain.filters)))
    return np.array([mover.rise(g, mover.waiting[g], chain.activations[g]) for g in groups])


@torch.no_grad()
def _clear(net: nn.Module) -> None:
    """Set what leads into a unit without a way out to zero."""
    first, output = layers(net)
    off = ~output.weight.unflatten(1, (len(first.weight), -1)).any(2).any(0)
    first.weight[off] = 0
    if first.bias is not None:
        first.bias[off] = 0


class _Switches(GroupMover):
    """Moves what is on, and draws the switches in turn.

    The output weights of a group that is off are zero in the chain, and lie in ``waiting``.
    """

    def __init__(self, settings: SwitchSettings, chain: Chain, generator: np.random.Generator) -> None:
        name = "sign flip" if chain.binary else "step or redraw"
        super().__init__(settings, chain, RoundCounts(chain, name, SWITCHES, TURNS), generator)
        self.first = -(-settings.warm_up // settings.block)
        self.on, self.waiting = np.ones(len(chain.filters), bool), np.zeros_like(chain.outgoing)

    def propose(self, layer: int, number: int, moves: Array) -> None:
        self.sweep(layer, number, moves)

    def turn(self, number: int) -> float:
        chain, units, was_on = self.chain, self.of(number), bool(self.on[number])
        outgoing, activations = self.waiting[units], chain.activations[units]
        rise, uniform = self.rise(units, outgoing, activations), self.generator.random()
        log_odds = self.settings.log_odds_against * (1 if was_on else -1)
        turns = uniform < expit(log_odds - self.settings.inverse_temperature * rise)
        self.in_rounds.add_group(int(not was_on), number, turns, math.isinf(rise))
        if not turns:
            return 0.0
        before = chain.outgoing[units].copy()
        self.keep(units, outgoing, activations)
        self.waiting[units], self.on[number] = before, not was_on
        others = np.ones(len(chain.outgoing) - chain.hidden_units, bool)  # the biases of the output
        self.numbers = np.flatnonzero(self.on)
        self.units = np.flatnonzero(np.append(np.repeat(self.on, self.positions), others))
        return rise
