"""A device that is not there: tensors that say ``cuda`` and live on the processor."""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

CUDA = torch.device("cuda:0")
MOVES = (Tensor.to, Tensor.cpu, Tensor.cuda)
SIZED = (Tensor.view_as, Tensor.expand_as)  # these read the size of the other tensor alone
ANYWHERE = (Tensor.copy_, Tensor.data.__set__, torch._has_compatible_shallow_copy_type, *SIZED)
INDEXED = (Tensor.__getitem__, Tensor.__setitem__)


class PretendedDevice(TorchFunctionMode):
    """Computes as the processor does, and refuses what CUDA refuses: tensors of two devices in one call.

    A tensor is on the pretended device if it was moved or made there, was computed from one that is, or
    shares its storage; these storages are held, so that no other tensor gets their place in memory.
    """

    def __init__(self) -> None:
        super().__init__()
        self.storages = dict[int, Any]()

    def there(self, tensor: Tensor) -> bool:
        """Whether a tensor is on the pretended device."""
        return tensor.untyped_storage()._cdata in self.storages

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if function == Tensor.device.__get__ and self.there(args[0]):
            return CUDA
        if function is Tensor.numpy and self.there(args[0]) and not kwargs.get("force"):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")
        if function in MOVES:
            return self._moved(function, *args, **kwargs)
        tensors = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        if (function in INDEXED and self.there(tensors[0])) or function is Tensor.__deepcopy__:
            tensors = tensors[:1]  # CUDA takes indices that are on the processor; a copy has a memo
        found = {self.there(x) for x in tensors if x.ndim or self.there(x)}
        if len(found) > 1 and not any(function == each for each in ANYWHERE):
            raise RuntimeError(f"{function}: Expected all tensors to be on the same device")
        on = found == {True}
        if (device := kwargs.pop("device", None)) is not None:
            on = torch.device(device).type == "cuda"
        return self._marked(function(*args, **kwargs), on)

    def _marked(self, result: Any, on: bool) -> Any:
        for x in pytree.tree_leaves(result) if on else []:
            if isinstance(x, Tensor):
                self.storages[x.untyped_storage()._cdata] = x.untyped_storage()
        return result

    def _moved(self, function: Any, tensor: Tensor, *targets: Any, **named: Any) -> Any:
        on, values = self.there(tensor) if function is Tensor.to else function is Tensor.cuda, []
        for value in (*targets, *named.values()):
            if isinstance(value, Tensor):
                on = self.there(value)
            elif isinstance(value, str | torch.device):
                on = torch.device(value).type == "cuda"
                value = "meta" if torch.device(value).type == "meta" else "cpu"
            values.append(value)
        result = tensor.to(
            *values[: len(targets)], **dict(zip(named, values[len(targets) :], strict=True))
        )
        if self.there(result) != on:
            result = result.clone()
        return self._marked(result, on)
