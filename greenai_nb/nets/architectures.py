"""Small networks of the walk; every call draws its weights from torch's current generator."""

from jaxtyping import Float
from torch import Tensor, nn

from greenai_nb.nets.binary import BinaryConv2d, Sign


def mlp(inputs: int, hidden: int, classes: int = 10) -> nn.Sequential:
    """One hidden layer of ReLU units and no biases: the weights are all there is to prune."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(inputs, hidden, bias=False),
        nn.ReLU(),
        nn.Linear(hidden, classes, bias=False),
    )


def mlp_weights(
    net: nn.Sequential,
) -> tuple[Float[Tensor, "hidden inputs"], Float[Tensor, "classes hidden"]]:
    """The weight matrices of ``mlp``, hidden and output, sharing memory with the network."""
    hidden, output = (layer for layer in net if isinstance(layer, nn.Linear))
    return hidden.weight.data, output.weight.data


def cnn(filters: int, classes: int = 10) -> nn.Sequential:
    """Two convolutions of stride 2 and a linear layer, in float, for images of 28 x 28."""
    return nn.Sequential(
        nn.Conv2d(1, filters, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(filters),
        nn.ReLU(),
        nn.Conv2d(filters, 2 * filters, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(2 * filters),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2 * filters * 49, classes),
    )


def xnor_cnn(filters: int, classes: int = 10) -> nn.Sequential:
    """The twin of ``cnn`` with the XNOR block in the middle; first and last layer stay in float."""
    return nn.Sequential(
        nn.Conv2d(1, filters, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(filters),
        Sign(),
        BinaryConv2d(filters, 2 * filters, 3, stride=2, padding=1),
        nn.BatchNorm2d(2 * filters),
        Sign(),
        nn.Flatten(),
        nn.Linear(2 * filters * 49, classes),
    )
