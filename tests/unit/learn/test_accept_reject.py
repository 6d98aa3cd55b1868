"""The reference sampler: its law against enumeration, its decisions by hand, its caches, its words."""

import copy
import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from priors import Student, Truncated
from scipy import stats
from torch import nn
from torch.nn import functional

from greenai_nb.learn.accept_reject import steps
from greenai_nb.learn.cached_forward import CachedForward, summed_loss
from greenai_nb.learn.moves import (
    Move,
    Redraw,
    ScaleMixture,
    SignFlip,
    StudentStep,
    Unit,
    Weights,
)
from greenai_nb.nets.architectures import mlp
from greenai_nb.theory.prior import HeavyTail

pytestmark = pytest.mark.usefixtures("one_thread")


# --- A network of eight binary weights, whose Gibbs law is known -----------------------------------

LAMBDA = 0.3
LAYERS = ("1.weight", "3.weight")
STATES = np.array(list(itertools.product([-1.0, 1.0], repeat=8)))
FLIPPED = np.arange(256)[:, None] ^ 2 ** np.arange(7, -1, -1)
POINTS = np.random.default_rng(0).normal(size=(12, 2))
CLASSES = np.random.default_rng(1).integers(0, 2, 12)


def network_at(state):
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2)).double()
    net[1].weight.data, net[3].weight.data = torch.tensor(state).view(2, 2, 2)
    net[1].bias.data.zero_()
    net[3].bias.data.zero_()
    return net


def loss_by_hand(state):
    logits = np.tanh(POINTS @ state[:4].reshape(2, 2).T) @ state[4:].reshape(2, 2).T
    return -np.log(np.exp(logits)[np.arange(12), CLASSES] / np.exp(logits).sum(1)).sum()


LOSSES = np.array([loss_by_hand(state) for state in STATES])


@dataclass(frozen=True)
class Leaning:
    """A prior and a proposal for signs that leans to one side, P(+1) = 1 / (1 + exp(-2 lean))."""

    lean: float = 0.7
    symmetric = False
    scale = radius = 1.0

    def log_density(self, new, old=None):
        density = self.lean * np.asarray(new) - np.log(2 * np.cosh(self.lean))
        return density if old is None else float(density.sum())

    def draw(self, old, generator):
        return np.where(generator.random(old.shape) < 1 / (1 + np.exp(-2 * self.lean)), 1.0, -1.0)


@dataclass(frozen=True)
class Liar(Leaning):
    """The same proposal, which pretends to be symmetric: the chain drops Hastings' factor."""

    symmetric = True


LEANING = dict.fromkeys(LAYERS, Leaning())
KINDS = {
    "flips": (SignFlip(), {}, {}),
    "flips with a prior": (SignFlip(), LEANING, LEANING),
    "redraws": (Leaning(), {}, {}),
    "redraws with a prior": (Leaning(0.4), LEANING, LEANING),
    "WRONG: no prior": (SignFlip(), {}, LEANING),
    "WRONG: no Hastings factor": (Liar(), {}, {}),
}


def run(state, proposal, priors, seed=0):
    moves = [Move(Weights(layer), proposal) for layer in LAYERS]
    points, classes = torch.tensor(POINTS), torch.tensor(CLASSES)
    generator = np.random.default_rng(seed)
    net = network_at(state)
    return steps(
        net, points, classes, moves=moves, priors=priors, inverse_temperature=LAMBDA, generator=generator
    )


def gibbs(priors):
    log_law = -LAMBDA * LOSSES
    for layer, part in zip(LAYERS, (STATES[:, :4], STATES[:, 4:]), strict=True):
        log_law += priors[layer].log_density(part).sum(1) if priors else 0.0
    law = np.exp(log_law - log_law.max())
    return law / law.sum()


@dataclass(frozen=True)
class At:
    """A selection of one place, for looking at single transitions."""

    parameter: str
    place: int

    def check(self, weights): ...

    def draw(self, weights, generator):
        return self.parameter, np.array([self.place])


@dataclass(frozen=True)
class Turned:
    """The turning of a sign, with the density that another proposal states for it."""

    of: object

    @property
    def symmetric(self):
        return self.of.symmetric

    def log_density(self, new, old):
        return self.of.log_density(new, old)

    def draw(self, old, generator):
        return -old


class NeverAccept:
    """Draws that make the chain try its moves in turn and stay where it is."""

    def __init__(self):
        self.turn = itertools.count()

    def choice(self, count, p):
        return next(self.turn) % count

    def random(self):
        return -1e300


def acceptances(proposal, priors):
    """min(1, rho) of each turn of a weight in each state, from the sampler's own ratios."""
    moves = [Move(At(layer, place), Turned(proposal)) for layer in LAYERS for place in range(4)]
    points, classes = torch.tensor(POINTS), torch.tensor(CLASSES)
    found = []
    for state in STATES:
        chain = steps(
            network_at(state), points, classes,
            moves=moves, priors=priors, inverse_temperature=LAMBDA, generator=NeverAccept(),
        )  # fmt: skip
        found.append([decision.log_ratio.total for decision in itertools.islice(chain, 8)])
    return np.exp(np.minimum(0, found))


def transitions(proposal, priors):
    """The transition matrix: a weight uniformly, a turn with the proposal's chance, accept or not."""
    chance = 1.0
    if isinstance(proposal, Leaning):
        chance = np.exp(proposal.log_density(-STATES))
    moved = acceptances(proposal, priors) * chance / 8
    matrix = np.zeros((256, 256))
    matrix[np.arange(256)[:, None], FLIPPED] = moved
    np.fill_diagonal(matrix, 1 - moved.sum(1))
    return matrix


def total_variation(p, q):
    return np.abs(p - q).sum(-1) / 2


@pytest.mark.parametrize("kind", KINDS)
def test_every_step_is_in_balance_with_the_gibbs_law_unless_the_sampler_is_wrong(kind):
    proposal, priors, true_priors = KINDS[kind]
    law, matrix = gibbs(true_priors), transitions(proposal, priors)
    flow = law[:, None] * matrix
    stationary = np.linalg.matrix_power(matrix, 2**12)
    if kind.startswith("WRONG"):
        assert np.abs(flow - flow.T).max() > 1e-4
        assert total_variation(stationary[0], law) > 0.2
    else:
        assert np.abs(flow - flow.T).max() < 1e-15
        assert np.abs(stationary - law).max() < 1e-12


def path(decisions, count, start):
    """The states that the first decisions lead through, from their records."""
    at, found = start, []
    for decision in itertools.islice(decisions, count):
        if decision.accepted and decision.new[0] != decision.old[0]:
            at = FLIPPED[at, LAYERS.index(decision.name) * 4 + int(decision.index[0])]
        found.append(at)
    return np.array(found)


def distances(paths, law, looks):
    """Mean total variation between the law and what chains have visited by each look."""
    return [
        np.mean([total_variation(np.bincount(p[:n], minlength=256) / n, law) for p in paths])
        for n in looks
    ]


def test_the_law_of_the_chain_nears_the_gibbs_law_as_one_over_the_root_of_its_length():
    looks, start = 2 ** np.arange(9, 13), 37
    paths = [path(run(STATES[start], SignFlip(), {}, seed), looks[-1], start) for seed in range(5)]
    tv = distances(paths, gibbs({}), looks)
    slope = np.polyfit(np.log(looks), np.log(tv), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.05) and tv[-1] < 0.15


def test_many_chains_with_the_samplers_own_acceptance_near_the_gibbs_law_at_that_rate():
    accept, generator = acceptances(SignFlip(), {}), np.random.default_rng(0)
    looks, chains = 2 ** np.arange(10, 14), 300
    at, visits, tv = np.zeros(chains, int), np.zeros((chains, 256)), []
    for step in range(1, looks[-1] + 1):
        weight = generator.integers(0, 8, chains)
        accepted = generator.random(chains) < accept[at, weight]
        at = np.where(accepted, FLIPPED[at, weight], at)
        visits[np.arange(chains), at] += 1
        if step in looks:
            tv.append(total_variation(visits / step, gibbs({})).mean())
    assert np.polyfit(np.log(looks), np.log(tv), 1)[0] == pytest.approx(-0.5, abs=0.02)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith(("redraws with", "WRONG"))])
def test_the_chain_itself_ends_at_the_gibbs_law_unless_it_is_wrong(kind):
    proposal, priors, true_priors = KINDS[kind]
    visits = np.bincount(path(run(STATES[0], proposal, priors), 3000, 0)[200:], minlength=256)
    tv = total_variation(visits / visits.sum(), gibbs(true_priors))
    assert tv > 0.3 if kind.startswith("WRONG") else tv < 0.2


# --- Without data the chain returns the prior ------------------------------------------------------

PROPOSALS = [
    StudentStep(0.3),
    ScaleMixture(0.4),
    ScaleMixture(0.5, 0.0),
    Redraw(Student(0.3)),
    SignFlip(),
]


@pytest.mark.parametrize("proposal", PROPOSALS, ids=lambda proposal: type(proposal).__name__)
@pytest.mark.parametrize("prior", [HeavyTail(0.3), Student(0.3, 2.0)], ids=["heavy tail", "student"])
def test_without_data_the_chain_returns_the_prior(proposal, prior):
    """A flip knows no size: its weights start as sizes of the prior, and the others far out."""
    generator, net = np.random.default_rng(3), nn.Sequential(nn.Flatten(), nn.Linear(40, 2, bias=False))
    flips, weight = isinstance(proposal, SignFlip), net[1].weight.data.fill_(1.0)
    if flips:
        weight.copy_(torch.from_numpy(np.abs(prior.sample((2, 40), generator))))
    chain = steps(
        net, torch.ones(2, 40), torch.tensor([0, 1]), moves=[Move(Weights("1.weight"), proposal)],
        priors={"1.weight": prior}, inverse_temperature=0.0, generator=generator,
    )  # fmt: skip
    draws = []
    for _ in range(1 if flips else 3):
        for _ in itertools.islice(chain, 1200):
            pass
        draws += weight.flatten().tolist()
    known = prior.sample(20_000, np.random.default_rng(4))
    assert stats.ks_2samp(draws, known).pvalue > 1e-2


# --- Single decisions, restoring and caching -------------------------------------------------------


def convolutional():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 2, 2),
        nn.ReLU(inplace=True),
        nn.Sequential(nn.BatchNorm2d(2), nn.AvgPool2d(2, 1)),
        nn.Flatten(),
        nn.Linear(8, 3),
    )
    net[2][0].running_mean += 0.1
    return net


CONVOLUTIONAL_MOVES = [
    Move(Weights("0.weight"), ScaleMixture(0.5, 0.0)),
    Move(Unit("0.weight"), ScaleMixture(0.2)),
    Move(Weights("0.bias"), StudentStep(0.3)),
    Move(Weights("2.0.weight"), SignFlip(), 0.3),
    Move(Unit("4.weight", 3), Redraw(Student(0.5)), 2.0),
]


def convolutional_run(net, data, prefix="", **given):
    moves = [
        Move(
            type(m.selection)(**{**vars(m.selection), "parameter": prefix + m.selection.parameter}),
            m.proposal,
            m.frequency,
        )
        for m in CONVOLUTIONAL_MOVES
    ]
    return steps(
        net, data.train.scaled(), data.train.labels, moves=moves,
        priors={prefix + "0.weight": HeavyTail(0.3), prefix + "4.weight": Truncated(0.3, 2.0)},
        **{"inverse_temperature": 0.3, "generator": np.random.default_rng(0), **given},
    )  # fmt: skip


def test_the_four_parts_of_the_ratio_are_those_computed_by_hand(tiny_data):
    net, seen = convolutional(), set()
    before = copy.deepcopy(net).double().eval()
    images, labels = tiny_data.train.scaled().double(), tiny_data.train.labels
    priors = {"0.weight": HeavyTail(0.3), "4.weight": Truncated(0.3, 2.0)}

    def log_prior(net):
        return sum(
            prior.log_density(net.get_parameter(name).detach().numpy()).sum()
            for name, prior in priors.items()
        )

    for decision in itertools.islice(convolutional_run(net, tiny_data), 300):
        after = copy.deepcopy(before)
        after.get_parameter(decision.name).data.view(-1)[decision.index] = torch.tensor(decision.new)
        losses = [
            functional.cross_entropy(m(images), labels, reduction="sum").item() for m in (before, after)
        ]
        parts = decision.log_ratio
        assert parts.data == pytest.approx(-0.3 * (losses[1] - losses[0]), rel=1e-4, abs=1e-4)
        known = log_prior(after) - log_prior(before)
        assert parts.prior == (known if np.isinf(known) else pytest.approx(known, abs=1e-9))
        backward = forward = 0.0
        if decision.name == "4.weight":
            backward = Student(0.5).log_density(decision.old).sum()
            forward = Student(0.5).log_density(decision.new).sum()
        assert (parts.backward, parts.forward) == pytest.approx((backward, forward))
        assert parts.total == parts.data + parts.prior + parts.backward - parts.forward
        assert decision.accepted == (decision.log_uniform < parts.total) and decision.log_uniform <= 0
        if decision.accepted:
            before = after
        seen.add((decision.name, decision.accepted))
        for ours, known in zip(net.parameters(), before.parameters(), strict=True):
            assert torch.equal(ours.double(), known)
    assert len(seen) == 8


def test_cached_losses_are_those_of_whole_forward_passes(tiny_data):
    net, images, labels = convolutional(), tiny_data.train.scaled(), tiny_data.train.labels
    forward, generator = CachedForward(net, images, labels), np.random.default_rng(0)
    weights = dict(net.named_parameters())
    for _ in range(300):
        name = generator.choice(list(weights))
        saved = weights[name].data.clone()
        weights[name].data += torch.from_numpy(generator.normal(size=saved.shape)).float() * 0.1
        found = forward.loss_after(name)
        assert found == summed_loss(net, images, labels)
        assert found == pytest.approx(
            functional.cross_entropy(net(images), labels).item() * 60, rel=1e-5
        )
        if generator.random() < 0.5:
            forward.commit()
            assert forward.loss == found
        else:
            weights[name].data.copy_(saved)
            assert forward.loss == summed_loss(net, images, labels)
    forward.load(images[:7], labels[:7])
    assert forward.loss == summed_loss(net, images[:7], labels[:7])


def test_caching_changes_no_decision(tiny_data):
    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = convolutional()

        def forward(self, x):
            return self.net(x)

    cached = convolutional_run(convolutional(), tiny_data)
    whole = convolutional_run(Whole(), tiny_data, "net.")
    accepted = 0
    for ours, known in itertools.islice(zip(cached, whole, strict=False), 500):
        assert known.name == "net." + ours.name and ours.index.tolist() == known.index.tolist()
        assert ours.log_ratio == known.log_ratio and ours.accepted == known.accepted
        accepted += ours.accepted
    assert 50 < accepted < 450


def test_a_subclass_of_sequential_is_one_part_and_shared_weights_count_from_their_first_use():
    class Twice(nn.Sequential):
        def forward(self, x):
            return super().forward(super().forward(x))

    shared = nn.Linear(3, 3, bias=False)
    net = nn.Sequential(Twice(nn.Linear(3, 3)), nn.ReLU(), shared, nn.ReLU(), shared)
    images, labels = torch.rand(5, 3), torch.tensor([0, 1, 2, 0, 1])
    forward = CachedForward(net, images, labels)
    for name, weight in net.named_parameters():
        weight.data += 0.1
        assert forward.loss_after(name) == summed_loss(net, images, labels)
        forward.commit()


@pytest.mark.parametrize(
    "proposal", [StudentStep(1e30), Redraw(HeavyTail(1e30)), ScaleMixture(3.0, 0.0)]
)
def test_rejected_proposals_leave_every_bit_as_it_was(tiny_data, proposal):
    net = convolutional()
    net[0].weight.data[0, 0, 0, 0] = -0.0
    before = [weight.detach().clone() for weight in net.parameters()]
    moves = [Move(Unit("0.weight"), proposal), Move(Weights("4.weight", 5), proposal)]
    chain = steps(
        net, tiny_data.train.scaled(), tiny_data.train.labels, moves=moves,
        priors={}, inverse_temperature=1e6, generator=np.random.default_rng(0),
    )  # fmt: skip
    rejected = 0
    for decision in itertools.islice(chain, 200):
        if decision.accepted:
            before = [weight.detach().clone() for weight in net.parameters()]
        rejected += not decision.accepted
        for ours, known in zip(net.parameters(), before, strict=True):
            assert ours.detach().numpy().tobytes() == known.numpy().tobytes()
    assert rejected > 150


def test_a_fresh_batch_estimates_the_change_of_the_loss_without_bias(tiny_data):
    """The proposal leaves the support of the prior, so that the chain stays where it is."""
    far = Truncated(0.3, 1.0)

    class Out:
        symmetric = True

        def draw(self, old, generator):
            return np.full_like(old, 2.0)

    def data_parts(count, **given):
        net = convolutional()
        net[4].weight.data.clamp_(-0.9, 0.9)
        chain = steps(
            net, tiny_data.train.scaled(), tiny_data.train.labels, inverse_temperature=0.5,
            moves=[Move(At("4.weight", 3), Out())], priors={"4.weight": far},
            generator=np.random.default_rng(0), **given,
        )  # fmt: skip
        return np.array([decision.log_ratio.data for decision in itertools.islice(chain, count)])

    (exact,), noisy = data_parts(1), data_parts(1500, batch_size=12)
    assert noisy.mean() == pytest.approx(exact, abs=4 * noisy.std() / math.sqrt(1500))
    assert noisy.std() > 0.05 * abs(exact)
    assert data_parts(3, batch_size=60) == pytest.approx(exact, rel=1e-5)


PRIORS = {"1.weight": HeavyTail(0.1), "3.weight": HeavyTail(0.1)}
MOVES = (
    Move(Weights("1.weight"), ScaleMixture(0.3), 0.6),
    Move(Unit("1.weight"), ScaleMixture(0.05, 0.0), 0.1),
    Move(Weights("3.weight"), ScaleMixture(0.3), 0.3),
)


def small_mlp():
    torch.manual_seed(0)
    return mlp(16, 6, 3)


def chain(data, net=None, **given):
    settings = {"moves": MOVES, "priors": PRIORS, "inverse_temperature": 5.0}
    settings |= {"generator": np.random.default_rng(1), **given}
    return steps(net or small_mlp(), data.train.scaled(), data.train.labels, **settings)


def test_a_chain_lowers_the_loss(tiny_data):
    net, images, labels = small_mlp(), tiny_data.train.scaled(), tiny_data.train.labels
    start = summed_loss(net, images, labels)
    for _ in itertools.islice(chain(tiny_data, net), 1000):
        pass
    assert summed_loss(net, images, labels) < start / 2


# --- What is refused -------------------------------------------------------------------------------


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = small_mlp()

    def forward(self, x):
        return self.net(x + 0.1 * torch.rand_like(x))


class OneWay:
    symmetric = False

    def draw(self, old, generator):
        return old + generator.random(old.shape)


def changed(data, **given):
    split = type(data.train)(**{**vars(data.train), **given})
    return type(data)(**{**vars(data), "train": split})


def with_pixel(data, value):
    images = data.train.images.float()
    images[3, 0, 1, 2] = value
    return changed(data, images=images)


def with_weight(value):
    net = small_mlp()
    net[1].weight.data[0, 0] = value
    return net


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"inverse_temperature": -1.0}, r"inverse_temperature must be a number in \[0, inf\), got -1"),
        ({"inverse_temperature": math.inf}, "inverse_temperature must be a number"),
        ({"moves": ()}, "moves is empty, at least one Move"),
        (
            {"moves": [Move(Weights("2.weight"), SignFlip())]},
            "no parameter '2.weight', it has 1.weight, 3",
        ),
        (
            {"moves": [Move(Unit("3.weight", 7), SignFlip())]},
            "cannot select 7 weights of one unit of 3.w",
        ),
        ({"priors": {"bias": HeavyTail(1.0)}}, "no parameter 'bias', it has 1.weight, 3.weight"),
        ({"priors": {"1.weight": Truncated(1.0, 0.01)}}, "1.weight starts where its prior Truncated"),
        ({"batch_size": 61}, r"batch_size must lie in \[1, 60\] images, got 61"),
        ({"batch_size": 0}, "batch_size must lie in"),
        ({"net": with_weight(math.nan), "priors": {}}, "the loss at the start is nan, a finite one"),
        ({"net": with_weight(math.inf)}, "1.weight starts where its prior HeavyTail"),
    ],
)
def test_settings_that_make_no_chain_are_refused(tiny_data, given, words):
    with pytest.raises(ValueError, match=words):
        chain(tiny_data, **given)


def test_data_that_make_no_chain_are_refused(tiny_data):
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match=f"images must be finite numbers .* got .{value}"):
            chain(with_pixel(tiny_data, value))
    for label in (-1, 3):
        labels = tiny_data.train.labels.clone()
        labels[5] = label
        with pytest.raises(ValueError, match=r"labels must lie in \[0, 2\], got"):
            chain(changed(tiny_data, labels=labels))


def test_a_network_without_a_fixed_loss_is_refused(tiny_data):
    moves = [Move(Weights("net.1.weight"), SignFlip())]
    with pytest.raises(ValueError, match=r"the same weights have the losses .* draws at random"):
        chain(tiny_data, Noisy(), moves=moves, priors={})


def test_a_move_needs_a_positive_frequency_and_a_density_unless_it_is_symmetric():
    with pytest.raises(ValueError, match="frequency must be a number in"):
        Move(Weights("1.weight"), SignFlip(), 0.0)
    with pytest.raises(
        ValueError, match=r"OneWay is not symmetric .* add a method log_density\(new, old\)"
    ):
        Move(Weights("1.weight"), OneWay())
