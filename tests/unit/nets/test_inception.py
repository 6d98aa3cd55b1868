"""Inception-v3 against the paper's sizes, on torch's meta device."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from greenai_nb.nets.inception import inception_v3


def test_operations_and_weights_are_the_published_ones():
    with torch.device("meta"):
        net, image = inception_v3().eval(), torch.empty(1, 3, 299, 299)
    with FlopCounterMode(display=False) as counter:
        assert net(image).shape == (1, 1000)
    assert counter.get_total_flops() == 2 * 5_713_216_096
    assert sum(weight.numel() for weight in net.parameters()) == 23_834_568
