import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from greenai_nb.learn.sgd import fit_sgd
from greenai_nb.nets.architectures import cnn, mlp, xnor_cnn
from greenai_nb.nets.binary import BinaryLinear
from greenai_nb.nets.packed.pack import pack
from greenai_nb.nets.scaling import LearnedScale, NoScale, scale
from greenai_nb.nets.sign import ste_sign
from greenai_nb.nets.weights import copied, fold_batch_norm, prunable_weights, weights_by_kind
from greenai_nb.prune.magnitude import by_layer, by_network


def test_every_parameter_has_a_kind():
    torch.manual_seed(3)
    net = xnor_cnn(4)
    kinds = weights_by_kind(net)
    latent = net[3].weight
    assert [part.shape for part in kinds.binary] == [latent.shape]
    assert torch.equal(torch.where(kinds.binary[0], 1.0, -1.0), ste_sign(latent))
    assert torch.equal(kinds.scale[0], scale(latent))
    real = sum(part.numel() for part in kinds.real)
    assert real + latent.numel() == sum(weight.numel() for weight in net.parameters())
    assert [part.shape for part in prunable_weights(net)] == [net[0].weight.shape, net[7].weight.shape]
    assert weights_by_kind(mlp(5, 3)).binary == []
    kinds.real[0].zero_()
    assert not net[0].weight.any()


def test_learned_scales_count_as_scales():
    layer = BinaryLinear(6, 4, scaling=LearnedScale((4,)))
    kinds = weights_by_kind(layer)
    assert kinds.real == [] and [part.shape for part in kinds.scale] == [(4,)]
    assert weights_by_kind(BinaryLinear(6, 4, scaling=NoScale())).scale == []
    mean = BinaryLinear(6, 4)
    assert torch.equal(weights_by_kind(mean).scale[0], mean.weight.abs().mean(1))


@pytest.mark.parametrize("build", [cnn, xnor_cnn])
def test_a_folded_network_computes_the_same_without_statistics(build):
    torch.manual_seed(4)
    net, x = build(4), torch.randn(40, 1, 28, 28)
    for _ in range(3):
        net(x)
    for norm in (net[1], net[4]):
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    folded = fold_batch_norm(net)
    assert torch.allclose(folded(x), net.eval()(x), atol=1e-4)
    assert all(
        norm.running_mean.eq(0).all() and norm.running_var.eq(1).all() for norm in (folded[1], folded[4])
    )
    assert not net[1].running_mean.eq(0).all()


def weight_normed():
    return nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), nn.ReLU(), nn.Linear(3, 2)
    )


def pruned():
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    prune.l1_unstructured(net[0], "weight", 0.5)
    return net


def spectral_normed():
    return nn.Sequential(nn.utils.spectral_norm(nn.Linear(4, 3)), nn.ReLU(), nn.Linear(3, 2))


def lazy():
    return nn.Sequential(nn.LazyLinear(3), nn.ReLU(), nn.Linear(3, 2))


USES = [
    lambda net: by_layer(net, 0.5),
    lambda net: by_network(net, 0.5),
    fold_batch_norm,
    lambda net: pack(net.eval()),
    lambda net: fit_sgd(net, None, epochs=1),
]


@pytest.mark.parametrize("make", [weight_normed, pruned, spectral_normed, lazy])
@pytest.mark.parametrize("use", USES)
def test_a_network_of_others_is_refused_in_a_sentence(make, use):
    with pytest.raises(ValueError, match=r"computed in each pass|no shape yet"):
        use(make())


def test_what_a_forward_pass_left_in_a_network_is_copied_and_shared_weights_stay_shared():
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    net[2].weight = net[0].weight
    net.seen = net(torch.ones(1, 3))
    twin = copied(net)
    assert torch.equal(twin.seen, net.seen) and not twin.seen.requires_grad
    assert twin[2].weight is twin[0].weight is not net[0].weight
    with pytest.raises(ValueError, match=r"call net\.float\(\) first"):
        copied(net.double())
