"""The loss of a network after a change of one parameter, without recomputing the layers before it.

For a network f = f_K o ... o f_1 and a change of a weight of f_k, the input of f_k stays the same:
it is cached, and only f_k, ..., f_K are computed.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

Images = Float[Tensor, "images *shape"]
Labels = Int64[Tensor, " images"]
IMAGES_AT_ONCE = 1000


class CachedForward:
    """The summed cross-entropy of some images at the network's weights, and after a change of them.

    ``loss`` is L = sum_i -log p_w(y_i | x_i), in nats. The inputs of all parts that have parameters are
    kept for all images, twice while a change is pending. The network is put in eval mode.
    """

    def __init__(self, net: nn.Module, images: Images, labels: Labels) -> None:
        net.eval()
        self.parts, self.place = parts(net), places(net)
        self.load(images, labels)

    def load(self, images: Images, labels: Labels) -> None:
        """Switch to other images, at the current weights."""
        self.labels, self.inputs = labels, {0: images}
        self._loss_from(0)
        self.commit()

    def loss_after(self, name: str) -> float:
        """Summed cross-entropy, in nats, where parameter ``name`` alone has changed since ``commit``."""
        return self._loss_from(self.place[name])

    def commit(self) -> None:
        """Adopt the change that the last loss was computed for; without this call, it is dropped."""
        self.inputs |= self._new_inputs
        self.loss = self._new_loss

    @torch.inference_mode()
    def _loss_from(self, first: int) -> float:
        x, self._new_inputs, kept = self.inputs[first], {}, set(self.place.values())
        for place, part in enumerate(self.parts[first:], first):
            if place in kept:
                self._new_inputs[place] = x
            x = part(x)
        self._new_loss = _cross_entropy(x, self.labels)
        return self._new_loss


def parts(net: nn.Module) -> list[nn.Module]:
    """The parts that a network runs in sequence; anything but an ``nn.Sequential`` is one part."""
    if type(net) is not nn.Sequential:
        return [net]
    return [part for child in net for part in parts(child)]


def places(net: nn.Module) -> dict[str, int]:
    """The first part, counted from zero, that each parameter acts in."""
    owned = [{id(weight) for weight in part.parameters()} for part in parts(net)]
    return {
        name: next(place for place, ids in enumerate(owned) if id(weight) in ids)
        for name, weight in net.named_parameters()
    }


@torch.inference_mode()
def summed_loss(net: nn.Module, images: Images, labels: Labels) -> float:
    """Summed cross-entropy in nats by plain forward passes, a thousand images at a time."""
    batches = zip(images.split(IMAGES_AT_ONCE), labels.split(IMAGES_AT_ONCE), strict=True)
    return sum(_cross_entropy(net(some), theirs) for some, theirs in batches)


def _cross_entropy(logits: Float[Tensor, "images classes"], labels: Labels) -> float:
    """L = sum_i log sum_c exp(z_ic) - z_iy, four times as fast as torch's own on small images.

    The sum is in double precision: many small changes of both signs nearly cancel.
    """
    losses = logits.logsumexp(1) - logits.gather(1, labels[:, None]).squeeze(1)
    return float(losses.sum(dtype=torch.float64))
