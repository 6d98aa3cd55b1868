"""Layers with binary weights on binary activations, trained through latent real weights.

The block of the slides, for k = 1, 2, ...

    x_k = (w_k^bin (+) sign(BNorm(x_{k-1}))) * w_k^scale ,

where (+) is a linear map or a convolution of numbers that are all -1 or +1. A layer quantizes its latent
weights and, given an input quantizer, its input; its scaling is XNOR-Net's unless another is given.

Source: Rastegari et al., *XNOR-Net* (2016), section 3; Courbariaux et al., *BinaryConnect* (2015).
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from greenai_nb.nets.scaling import MeanScale
from greenai_nb.nets.sign import Estimator, ste_sign


class BinaryLinear(nn.Linear):
    """A linear map without bias whose latent weights act through their signs and a scale.

    ``kernel_quantizer`` and ``input_quantizer`` are estimators of ``greenai_nb.nets.sign``; without an
    input quantizer the input is taken as it is.
    """

    def __init__(
        self,
        inputs: int,
        units: int,
        *,
        kernel_quantizer: Estimator = ste_sign,
        input_quantizer: Estimator | None = None,
        scaling: nn.Module | None = None,
    ) -> None:
        super().__init__(inputs, units, bias=False)
        self.kernel_quantizer, self.input_quantizer = kernel_quantizer, input_quantizer
        self.scaling = scaling or MeanScale()

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch units"]:
        quantized = self.input_quantizer(x) if self.input_quantizer else x
        y = functional.linear(quantized, self.kernel_quantizer(self.weight))
        return self.scaling(y, self.weight, x)


class BinaryConv2d(nn.Conv2d):
    """A convolution without bias whose latent weights act through their signs and a scale.

    Quantizers and scaling as in ``BinaryLinear``. Padding adds zeros, which are not signs.
    """

    def __init__(
        self,
        channels: int,
        filters: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        *,
        kernel_quantizer: Estimator = ste_sign,
        input_quantizer: Estimator | None = None,
        scaling: nn.Module | None = None,
    ) -> None:
        super().__init__(channels, filters, kernel, stride, padding, bias=False)
        self.kernel_quantizer, self.input_quantizer = kernel_quantizer, input_quantizer
        self.scaling = scaling or MeanScale()

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch filters rows columns"]:
        quantized = self.input_quantizer(x) if self.input_quantizer else x
        weight = self.kernel_quantizer(self.weight)
        y = functional.conv2d(quantized, weight, None, self.stride, self.padding)
        return self.scaling(y, self.weight, x)


class Sign(nn.Module):
    """An estimator of the sign as a layer, ``ste_sign`` unless another is given."""

    def __init__(self, estimator: Estimator = ste_sign) -> None:
        super().__init__()
        self.estimator = estimator

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return self.estimator(x)
