"""What another number of threads may change, and what it may not."""

import torch

from greenai_nb.data.datasets import load
from greenai_nb.learn.fit import accuracy
from greenai_nb.learn.sgd import fit_sgd
from greenai_nb.nets.architectures import mlp
from greenai_nb.nets.kernels import words
from greenai_nb.nets.kernels.product import pack_signs

WEIGHTS = 1e-3  # of the largest weight, after a pass of SGD
POINTS = 0.5  # of accuracy


def trained(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        torch.manual_seed(0)
        fit = fit_sgd(mlp(784, 64), load(), epochs=1, learning_rate=0.1, seed=0)
        generator = torch.Generator().manual_seed(1)
        signs = [torch.rand(size, generator=generator).numpy() < 0.5 for size in ((33, 500), (65, 500))]
        bits = words.products(
            words.pack_activations(pack_signs(signs[0])), words.pack_weights(pack_signs(signs[1])), 500
        )
        return fit, bits
    finally:
        torch.set_num_threads(before)


def test_two_threads_give_the_weights_of_one_up_to_rounding_and_the_same_counts():
    (one, bits), (two, other_bits) = trained(1), trained(2)
    for left, right in zip(one.net.parameters(), two.net.parameters(), strict=True):
        assert (left - right).abs().max() <= WEIGHTS * left.abs().max()
    data = load()
    assert abs(100 * (accuracy(one.net, data.test) - accuracy(two.net, data.test))) <= POINTS
    assert one.trace.operations.equals(two.trace.operations) and one.settings == two.settings
    assert (bits == other_bits).all()
