import copy
import threading

import numpy as np
import pytest
import torch

from greenai_nb.learn.fit import accuracy, accuracy_percent, multiply_accumulates, over_seeds
from greenai_nb.learn.sgd import fit_sgd
from greenai_nb.nets.architectures import mlp, vgg_small, xnor_cnn
from greenai_nb.nets.counts import count


def test_accuracy_counts_right_answers(tiny_data):
    class Bright(torch.nn.Module):
        def forward(self, x):
            return x[:, 0].sum(2)[:, :3]

    net = Bright()
    by_hand = np.mean(
        [
            image[0].sum(1)[:3].argmax() == label
            for image, label in zip(tiny_data.test.images.float(), tiny_data.test.labels, strict=True)
        ]
    )
    assert accuracy(net, tiny_data.test) == pytest.approx(float(by_hand))


def test_over_seeds_makes_each_network_after_its_seed_and_trains_it(tiny_data):
    def train(net, seed):
        return fit_sgd(net, tiny_data, epochs=1, seed=seed)

    together = over_seeds(lambda seed: mlp(16, 5, 3), train, [3, 1, 2], workers=3)
    for seed, fit in zip([3, 1, 2], together, strict=True):
        torch.manual_seed(seed)
        alone = train(mlp(16, 5, 3), seed)
        assert fit.settings["seed"] == seed
        assert torch.equal(fit.net[1].weight, alone.net[1].weight)
    assert accuracy_percent(together, tiny_data.test) == [
        100 * accuracy(fit.net, tiny_data.test) for fit in together
    ]


def test_one_worker_trains_where_an_interrupt_arrives():
    seen = []
    over_seeds(lambda seed: mlp(4, 2), lambda net, seed: seen.append(threading.current_thread()), [0, 1])
    assert seen == 2 * [threading.main_thread()]


@pytest.mark.parametrize(
    ("net", "shape", "known"),
    [
        (mlp(16, 5, 3), (7, 1, 4, 4), 7 * (16 * 5 + 5 * 3)),
        (xnor_cnn(4), (3, 1, 28, 28), 3 * (196 * 4 * 9 + 49 * 8 * 36 + 392 * 10)),
        (vgg_small(), (1, 3, 32, 32), 607_600_640),
    ],
    ids=["mlp", "xnor_cnn", "vgg_small"],
)
def test_operations_of_a_forward_pass_are_those_of_its_layers(net, shape, known):
    images = torch.zeros(shape)
    before = copy.deepcopy(net.state_dict())
    products = count(net, images)[["macs", "signed_additions", "bit_operations"]]
    assert multiply_accumulates(net, images) == products.to_numpy().sum() == known
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())
