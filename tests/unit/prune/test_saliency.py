"""Saliencies against finite differences, and masks against all masks there are."""

import itertools

import pytest
import torch
from scipy import stats
from torch.nn import functional

from greenai_nb.learn.sgd import fit_sgd
from greenai_nb.nets.architectures import mlp
from greenai_nb.nets.weights import prunable_weights
from greenai_nb.prune.saliency import TEMPERATURE, force, grasp, relevance, snip, synflow


@pytest.fixture
def problem():
    torch.manual_seed(0)
    return mlp(2, 3, 2), torch.rand(40, 1, 1, 2), torch.randint(0, 2, (40,))


def loss_with(net, images, labels, gates):
    """The loss in double precision with each weight times its gate."""
    double = mlp(2, 3, 2).double()
    for weight, own, gate in zip(prunable_weights(double), prunable_weights(net), gates, strict=True):
        weight.copy_(own.double() * gate)
    with torch.no_grad():
        return float(functional.cross_entropy(double(images.double()), labels))


def derivative_by_gates(net, images, labels, gates, step=1e-5):
    """Central differences of the loss in each gate."""
    found = []
    for gate in gates:
        flat = gate.view(-1)
        for place in range(len(flat)):
            kept = float(flat[place])
            ends = []
            for sign in (1, -1):
                flat[place] = kept + sign * step
                ends.append(loss_with(net, images, labels, gates))
            flat[place] = kept
            found.append((ends[0] - ends[1]) / (2 * step))
    return torch.tensor(found)


def flat(mask):
    return torch.cat([layer.flatten() for layer in mask.layers])


def ones(net):
    return [torch.ones_like(weight).double() for weight in prunable_weights(net)]


@pytest.mark.parametrize("kept", [1, 4, 9, 12])
def test_snip_keeps_the_largest_derivatives_of_gates(problem, kept):
    net, images, labels = problem
    scores = derivative_by_gates(net, images, labels, ones(net)).abs()
    mask = snip(net, images, labels, kept)
    assert mask.kept == kept
    weakest, strongest = scores[flat(mask)].min(), scores[~flat(mask)]
    assert not len(strongest) or weakest >= strongest.max() - 1e-6


def test_force_with_one_step_is_snip(problem):
    net, images, labels = problem
    one = force(net, [(images, labels)], 5)
    assert torch.equal(flat(one), flat(snip(net, images, labels, 5)))


def test_what_iterative_snip_prunes_stays_pruned_and_with_force_it_may_return():
    came_back = {True: 0, False: 0}
    for seed in range(30):
        torch.manual_seed(seed)
        net, batches = mlp(2, 3, 2), []
        for _ in range(2):
            batches.append((torch.rand(10, 1, 1, 2), torch.randint(0, 2, (10,))))
        for nested in came_back:
            first = force(net, batches[:1], round(12 * (5 / 12) ** 0.5), nested=nested)
            second = force(net, batches, 5, nested=nested)
            assert (first.kept, second.kept) == (8, 5)
            came_back[nested] += bool((flat(second) & ~flat(first)).any())
    assert came_back[True] == 0 < came_back[False]


def test_force_scores_original_weights_at_the_pruned_network(problem):
    net, images, labels = problem
    first = force(net, [(images, labels)], round(12 * (5 / 12) ** 0.5))
    gates = [layer.double() for layer in first.layers]
    by_gates = derivative_by_gates(net, images, labels, gates)  # w dL/dw at the pruned network
    second = force(net, [(images, labels)] * 2, 5)
    scores = by_gates.abs()
    assert scores[flat(second)].min() >= scores[~flat(second)].max() - 1e-6


def objectives(net, images, labels, masks):
    """Sum of abs(w dL/dw) over kept weights at the pruned network, for many masks at once."""
    into, out = (weight.double() for weight in prunable_weights(net))
    gates = masks.double().requires_grad_()
    first, second = gates[:, :6].view(-1, 3, 2), gates[:, 6:].view(-1, 2, 3)
    hidden = torch.relu(torch.einsum("bi,mhi->mbh", images.flatten(1).double(), first * into))
    logits = torch.einsum("mbh,mch->mbc", hidden, second * out)
    right = logits.log_softmax(2).gather(2, labels.expand(len(masks), -1)[..., None])
    (slopes,) = torch.autograd.grad(-right.mean((1, 2)).sum(), gates)
    return (slopes.abs() * masks).sum(1)


def test_forces_mask_is_among_the_best_of_all_masks_by_its_own_objective():
    every = torch.tensor(
        [[i in chosen for i in range(12)] for chosen in itertools.combinations(range(12), 6)]
    )
    ranks = []
    for seed in range(8):
        torch.manual_seed(seed)
        net, images, labels = mlp(2, 3, 2), torch.rand(40, 1, 1, 2), torch.randint(0, 2, (40,))
        ours = flat(force(net, [(images, labels)] * 6, 6))
        values = objectives(net, images, labels, torch.cat([ours[None], every]))
        ranks.append(float((values[1:] > values[0] + 1e-9).double().mean()))
    assert sum(ranks) / len(ranks) < 0.1


def test_grasp_keeps_what_its_sign_says_by_differences_of_the_gradient(problem):
    net, images, labels = problem
    weights = prunable_weights(net)

    def gradient(shift):
        double = mlp(2, 3, 2).double()
        for weight, own, moved in zip(prunable_weights(double), weights, shift, strict=True):
            weight.copy_(own.double() + moved)
        parameters = [double[1].weight, double[3].weight]
        logits = double(images.double()) / TEMPERATURE
        return torch.autograd.grad(functional.cross_entropy(logits, labels), parameters)

    zero = [torch.zeros_like(weight).double() for weight in weights]
    g = gradient(zero)
    step = 1e-2
    ahead = gradient([step * each for each in g])
    behind = gradient([-step * each for each in g])
    products = [(a - b) / (2 * step) for a, b in zip(ahead, behind, strict=True)]
    scores = torch.cat([(w * h).flatten() for w, h in zip(weights, products, strict=True)])
    mask = flat(grasp(net, images, labels, 5))
    assert set(mask.nonzero().flatten().tolist()) == set(scores.topk(5).indices.tolist())


def test_synflow_conserves_its_flow_and_never_cuts_a_layer_off():
    torch.manual_seed(1)
    net = mlp(16, 8, 3)
    mask = synflow(net, (1, 4, 4), 12, steps=50)
    assert mask.kept == 12 and mask.live == 12
    into, out = (weight.abs().double() for weight in prunable_weights(net))
    one_step = synflow(net, (1, 4, 4), 40, steps=1)
    scores = torch.cat([(into * out.sum(0)[:, None]).flatten(), (out * into.sum(1)).flatten()])
    assert set(flat(one_step).nonzero().flatten().tolist()) == set(scores.topk(40).indices.tolist())


def test_relevance_is_the_fall_of_the_error_when_a_gate_opens(tiny_data):
    torch.manual_seed(0)
    net, images, labels = mlp(16, 6, 3), tiny_data.train.scaled(), tiny_data.train.labels
    targets = functional.one_hot(labels, 3)

    @torch.no_grad()
    def error(gates, linear):
        logits = (torch.relu(images.flatten(1) @ net[1].weight.T) * gates) @ net[3].weight.T
        if linear:
            return float((targets - logits.softmax(1)).abs().sum(1).double().mean())
        return float(functional.cross_entropy(logits.double(), labels))

    for linear in (True, False):
        got = relevance(net, images, labels, linear=linear)
        for unit in range(6):
            ends = []
            for gate in (1.01, 0.99):
                gates = torch.ones(6)
                gates[unit] = gate
                ends.append(error(gates, linear))
            assert got[unit] == pytest.approx(-(ends[0] - ends[1]) / 0.02, abs=2e-4)


def test_relevance_orders_units_as_leaving_them_out_does(tiny_data):
    torch.manual_seed(0)
    net = fit_sgd(mlp(16, 12, 3), tiny_data, epochs=20, learning_rate=0.5, batch_size=10).net
    images, labels = tiny_data.train.scaled(), tiny_data.train.labels
    whole = functional.cross_entropy(net(images), labels).item()
    rises = []
    for unit in range(12):
        hidden = net[:3](images).clone()
        hidden[:, unit] = 0
        rises.append(functional.cross_entropy(net[3](hidden), labels).item() - whole)
    got = relevance(net, images, labels)
    assert stats.spearmanr(got, rises).statistic > 0.6
