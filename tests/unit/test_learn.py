import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from greenai_nb.learn.fit import accuracy
from greenai_nb.learn.sgd import fit_sgd
from greenai_nb.nets.architectures import mlp, vgg_small, xnor_cnn
from greenai_nb.nets.counts import multiply_accumulates


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


def test_sgd_takes_the_steps_of_a_plain_loop(tiny_data):
    torch.manual_seed(0)
    net = mlp(16, 5, 3)
    weights = [parameter.detach().clone().requires_grad_() for parameter in net.parameters()]
    fit_sgd(net, tiny_data, epochs=2, learning_rate=0.2, batch_size=20, l1=0.01, seed=3)
    generator, step = torch.Generator().manual_seed(3), 0
    for _ in range(2):
        for chosen in torch.randperm(60, generator=generator).split(20):
            logits = (tiny_data.train.flat()[chosen] @ weights[0].T).relu() @ weights[1].T
            loss = functional.cross_entropy(logits, tiny_data.train.labels[chosen])
            rate = 0.2 * (1 - step / 6)
            for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                moved = weight.data - rate * gradient
                weight.data = moved.sign() * (moved.abs() - rate * 0.01).clamp(min=0)
            step += 1
    for ours, known in zip(net.parameters(), weights, strict=True):
        assert torch.allclose(ours, known, atol=1e-6)


@pytest.mark.parametrize(
    ("net", "shape"),
    [(mlp(16, 5, 3), (7, 1, 4, 4)), (xnor_cnn(4), (3, 1, 28, 28)), (vgg_small(), (1, 3, 32, 32))],
    ids=["mlp", "xnor_cnn", "vgg_small"],
)
def test_operations_of_a_forward_pass_are_those_that_torch_counts(net, shape):
    images = torch.zeros(shape)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(images)
    assert multiply_accumulates(net, images) == counter.get_total_flops() // 2
