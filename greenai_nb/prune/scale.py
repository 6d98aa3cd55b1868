"""Scale regularization: a penalty on the product of the layers' L1 norms.

A ReLU network without biases is kappa times one whose layers have L1 norm 1, because the network is
positively homogeneous in each layer:

    kappa = |W_1|_1 ... |W_L|_1 ,        minimise  loss + lambda kappa .

Plain L1 is the same penalty on a root of kappa: rescaling the layers by c_l with product 1 leaves the
network as it is, and by the inequality of the means the least sum of their L1 norms is L kappa^(1/L).

Source: Taheri, Xie and Lederer, *Statistical guarantees for regularized neural networks* (2021).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from greenai_nb.checks import non_negative
from greenai_nb.learn.stack import AfterStep, Layer


@dataclass(frozen=True)
class ScaleRegularization:
    """A proximal step of lambda kappa after each step of gradient descent.

    With the other layers held, kappa is the L1 norm of a layer times the others' product, so that
    its weights move towards zero by eta lambda times this product, and stop there.
    """

    penalty: float

    def __post_init__(self) -> None:
        non_negative(penalty=self.penalty)

    def begin(self, layers: Sequence[Layer], generator: torch.Generator) -> AfterStep:
        """Weights at zero may come back, so masks do not change."""

        def shrink(gradients: Sequence[Tensor], progress: float, rate: float) -> None:
            norms = [float(layer.weight.abs().sum()) for layer in layers]
            for number, layer in enumerate(layers):
                others = math.prod(norms[:number] + norms[number + 1 :])
                layer.weight.copy_(functional.softshrink(layer.weight, rate * self.penalty * others))

        return shrink
