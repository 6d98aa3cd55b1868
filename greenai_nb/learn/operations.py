"""What a forward pass takes, counted from the shapes of its layers."""

import torch
from torch import nn


def multiply_accumulates(net: nn.Module, images: torch.Tensor) -> int:
    """Multiply-accumulates of linear layers and convolutions in one forward pass over some images.

    Each output of a layer takes as many as its unit has weights.
    """
    total = 0

    def count(layer: nn.Module, _given: object, output: torch.Tensor) -> None:
        nonlocal total
        total += output.numel() * layer.get_parameter("weight")[0].numel()

    layers = [layer for layer in net.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    was_training = net.training
    net.eval()
    with torch.no_grad():
        net(images)
    net.train(was_training)
    for hook in hooks:
        hook.remove()
    return total
