import pytest
import torch
from torch import nn

from greenai_nb.learn.fit import accuracies, accuracy
from greenai_nb.learn.sgd import fit_sgd
from greenai_nb.learn.stack import Stack, fit_stack
from greenai_nb.nets.architectures import mlp
from greenai_nb.nets.quantize import dorefa_mlp, with_levels


def networks(number, units=6):
    nets = []
    for seed in range(number):
        torch.manual_seed(seed)
        nets.append(mlp(16, units, classes=3))
    return nets


def test_networks_in_a_stack_learn_what_they_learn_alone(tiny_data):
    nets = networks(3)
    together = fit_stack(Stack(nets), tiny_data, epochs=2, learning_rate=0.5, batch_size=8, seed=5)
    for number, net in enumerate(nets):
        alone = fit_sgd(net, tiny_data, epochs=2, learning_rate=0.5, batch_size=8, seed=5)
        one = together.net.network(number)
        for name, weight in alone.net.state_dict().items():
            assert torch.allclose(one.state_dict()[name], weight, atol=1e-6), name
        assert float(accuracies(together.net, tiny_data.test)[number]) == accuracy(
            alone.net, tiny_data.test
        )
    assert together.trace.operations.iloc[-1] == 3 * alone.trace.operations.iloc[-1]


FLOAT = {"weight": 32, "activation": 32, "gradient": 32}
FEW = [{"weight": 1}, {"weight": 3}, {"activation": 2}, {"gradient": 1}, {"weight": 2, "gradient": 3}]


@pytest.mark.parametrize("bits", FEW, ids=str)
def test_quantized_networks_in_a_stack_learn_what_they_learn_alone(bits, tiny_data):
    nets = [dorefa_mlp(16, 6, 3, **(FLOAT | bits), seed=seed) for seed in range(3)]
    how = {"epochs": 2, "learning_rate": 0.3, "batch_size": 8, "seed": 5}
    together = fit_stack(Stack(nets), tiny_data, **how)
    for number, net in enumerate(nets):
        alone, one = fit_sgd(net, tiny_data, **how).net, together.net.network(number)
        assert not one.training
        for name, value in alone.state_dict().items():
            assert torch.allclose(one.state_dict()[name], value, atol=1e-5), name
    x = torch.rand(4, 1, 4, 4)
    assert torch.allclose(together.net(x)[:, 2], together.net.network(2)(x), atol=1e-5)


def normed(seed, **norm):
    torch.manual_seed(seed)
    net = [nn.Linear(16, 6, bias=False), nn.BatchNorm1d(6, **norm), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *net, nn.Linear(6, 3, bias=False))


NORMS = [{"eps": 0.5}, {"momentum": 0.7}, {"momentum": None}, {"affine": False}]
NORMS += [{"track_running_stats": False}]


@pytest.mark.parametrize("norm", NORMS[:-1], ids=str)
def test_batch_norms_keep_their_own_settings_in_a_stack(norm, tiny_data):
    nets = [normed(seed, **norm) for seed in range(2)]
    how = {"epochs": 2, "learning_rate": 0.3, "batch_size": 15, "seed": 5}
    together = fit_stack(Stack(nets), tiny_data, **how)
    for number, net in enumerate(nets):
        alone, one = fit_sgd(net, tiny_data, **how).net, together.net.network(number)
        for name, value in alone.state_dict().items():
            assert torch.allclose(one.state_dict()[name], value, atol=1e-5), name


@pytest.mark.parametrize("norm", NORMS, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_a_stack_with_batch_norms_gives_the_logits_of_its_networks(training, norm):
    nets = [normed(seed, **norm).train(training) for seed in range(2)]
    stack, x = Stack(nets).train(training), torch.rand(4, 1, 4, 4)
    for _ in range(2):  # statistics of the first pass act in the second, if they are kept
        logits = stack(x)
        assert torch.allclose(logits, torch.stack([net(x) for net in nets], 1), atol=1e-5)
    for number, net in enumerate(nets):
        for name, value in stack.network(number).state_dict().items():
            assert torch.allclose(value, net.state_dict()[name], atol=1e-5), name


@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_batch_norms_that_differ_are_refused(norm):
    with pytest.raises(ValueError, match=r"settings, got \(2\): BatchNorm1d\(.*\) and \(2\): Ba"):
        Stack([normed(0), normed(1, **norm)])


def test_rounded_networks_keep_their_own_steps_in_a_stack(tiny_data):
    nets = [with_levels(net, 3) for net in networks(2)]
    fit = fit_stack(Stack(nets), tiny_data, epochs=1, learning_rate=0.3)
    assert len({net[1].quantizer.step for net in nets}) == 2
    for number, net in enumerate(nets):
        alone = fit_sgd(net, tiny_data, epochs=1, learning_rate=0.3).net
        one = fit.net.network(number)
        assert one[1].quantizer == net[1].quantizer
        assert torch.allclose(one[1].weight, alone[1].weight, atol=1e-6)


def test_a_stack_is_copied_and_masked_weights_stay_at_zero(tiny_data):
    nets = networks(2)
    masks = [[torch.rand(6, 16) < 0.3, torch.rand(3, 6) < 0.5] for _ in nets]
    stack = Stack(nets, masks)
    before = stack.linear[0].weight.detach().clone()
    fit = fit_stack(stack, tiny_data, epochs=1, learning_rate=0.5)
    assert torch.equal(stack.linear[0].weight, before)
    assert not torch.equal(fit.net.linear[0].weight, before)
    for number, (hidden, output) in enumerate(masks):
        layers = fit.net.layers(number)
        assert not layers[0].weight[~hidden].any() and not layers[1].weight[~output].any()
        assert torch.equal(layers[0].mask, hidden)
    x = torch.rand(4, 1, 4, 4)
    assert torch.allclose(fit.net(x)[:, 1], fit.net.network(1)(x), atol=1e-6)


class Count:
    """A rule that counts its steps and sets the first weight of the output to the rate."""

    def begin(self, layers, generator):
        self.seen = []

        def after(gradients, progress, rate):
            self.seen.append((progress, rate, [g.shape for g in gradients]))
            layers[1].weight[0, 0] = rate

        return after


def test_a_rewiring_sees_each_step_of_its_network_alone(tiny_data):
    count = Count()
    rules = [None, count]
    fit = fit_stack(
        Stack(networks(2)), tiny_data, epochs=2, learning_rate=0.8, batch_size=15, rewirings=rules
    )
    progress, rates, shapes = zip(*count.seen, strict=True)
    assert progress == pytest.approx([step / 8 for step in range(1, 9)])
    assert rates == pytest.approx([0.8 * (1 - step / 8) for step in range(8)])
    assert shapes[0] == [(6, 16), (3, 6)]
    last = fit.net.linear[1].weight.detach()[:, 0, 0].tolist()
    assert last[1] == pytest.approx(0.1) and last[0] != last[1]


def test_bad_stacks_are_refused_before_training(tiny_data):
    with pytest.raises(ValueError, match="of one shape"):
        Stack([mlp(16, 6, 3), mlp(16, 5, 3)])
    with pytest.raises(ValueError, match="of one shape"):
        Stack([])
    for net in (mlp(16, 6, 3, bias=True), nn.Sequential(nn.Flatten(), nn.Tanh())):
        with pytest.raises(TypeError, match=r"got (Linear\(.*bias=True\)|Tanh\(\))"):
            Stack([net])
    with pytest.raises(ValueError, match="of one shape"):
        Stack([dorefa_mlp(16, 6, 3, **(FLOAT | {"gradient": k}), seed=0) for k in (1, 2)])
    with pytest.raises(ValueError, match="2 networks need as many rewirings, got 1"):
        fit_stack(Stack(networks(2)), tiny_data, epochs=1, rewirings=[None])
    with pytest.raises(ValueError, match="epochs"):
        fit_stack(Stack(networks(1)), tiny_data, epochs=0)
