"""A recurrent network of spiking units that reads an image row by row.

With row x_t of the image, membranes v, spikes z and a leaky readout o,

    v_t = leak v_{t-1} + W_in x_t + W_rec z_{t-1} - z_{t-1} ,    z_t = 1 if v_t >= 1, else 0 ,
    logits y_t = readout_leak y_{t-1} + W_out z_t .

The loss is the cross-entropy of y_t, averaged over the second half of the rows. The reset -z_{t-1} is
taken as given when a gradient is computed.

Source: Bellec et al., *A solution to the learning dilemma for recurrent networks of spiking neurons*
(2020), with the surrogate of ``nets/spiking.py``.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from greenai_nb.checks import non_negative, whole
from greenai_nb.nets.spiking import INITIAL_SPREAD, check_leak, fire

Images = Float[Tensor, "batch channels rows columns"]
Labels = Int64[Tensor, " batch"]
InTime = Float[Tensor, "batch rows units"]


class Activity(NamedTuple):
    """What a network did with some images, row by row."""

    membranes: InTime
    spikes: InTime
    logits: Float[Tensor, "batch rows classes"]


class RowReader(nn.Module):
    """Spiking units with recurrent connections, which see one row of all channels at a time.

    ``gain`` is the spread of the initial recurrent weights, times the root of the number of units. The
    weights are drawn from torch's current generator. Raises ``ValueError`` for a leak outside [0, 1].
    """

    def __init__(
        self,
        inputs: int,
        units: int,
        classes: int = 10,
        *,
        gain: float = 1.0,
        leak: float = 0.9,
        readout_leak: float = 0.9,
    ) -> None:
        super().__init__()
        whole(inputs=inputs, units=units, classes=classes)
        non_negative(gain=gain)
        check_leak(leak=leak, readout_leak=readout_leak)
        self.leak, self.readout_leak = leak, readout_leak
        self.into = nn.Linear(inputs, units, bias=False)
        self.back = nn.Linear(units, units, bias=False)
        self.out = nn.Linear(units, classes, bias=False)
        nn.init.normal_(self.into.weight, std=INITIAL_SPREAD / inputs**0.5)
        nn.init.normal_(self.back.weight, std=gain / units**0.5)
        nn.init.normal_(self.out.weight, std=units**-0.5)

    def read(self, images: Images, *, cut: bool = False) -> Activity:
        """Membranes, spikes and logits; with ``cut`` no gradient passes through recurrent spikes."""
        currents = self.into(rows_of(images, self.into.in_features))
        membrane = spikes = torch.zeros_like(currents[:, 0])
        membranes, sent = list[Tensor](), list[Tensor]()
        for current in currents.unbind(1):
            returned = self.back(spikes.detach() if cut else spikes)
            membrane = self.leak * membrane + current + returned - spikes.detach()
            spikes = fire(membrane)
            membranes.append(membrane)
            sent.append(spikes)
        spikes = torch.stack(sent, 1)
        logits = filtered(self.out(spikes), self.readout_leak)
        return Activity(torch.stack(membranes, 1), spikes, logits)

    def forward(self, images: Images) -> Float[Tensor, "batch classes"]:
        """The mean of the logits over the second half of the rows."""
        logits = self.read(images).logits
        return logits[:, first_judged(logits) :].mean(1)


def rows_of(images: Images, inputs: int) -> InTime:
    """Rows with all channels side by side. ``ValueError`` unless a row has ``inputs`` numbers."""
    rows = images.permute(0, 2, 1, 3).flatten(2)
    if rows.shape[2] != inputs:
        held = f"a row of images of shape {tuple(images.shape[1:])} has {rows.shape[2]} numbers"
        raise ValueError(f"{held}, this network reads {inputs}: build it with inputs={rows.shape[2]}")
    return rows


def filtered(signal: InTime, leak: float) -> InTime:
    """The leaky sum y_t = leak y_{t-1} + x_t, as one product: the sum of leak^(t-s) x_s over s <= t."""
    t = torch.arange(signal.shape[1], dtype=signal.dtype, device=signal.device)
    return (leak ** (t[:, None] - t).clamp(min=0)).tril() @ signal


def first_judged(logits: InTime) -> int:
    """The first row whose logits count: the loss is over the second half."""
    return logits.shape[1] // 2


def loss_of(logits: Float[Tensor, "batch rows classes"], labels: Labels) -> Float[Tensor, ""]:
    """Mean cross-entropy over images and the second half of the rows."""
    judged = logits[:, first_judged(logits) :]
    return functional.cross_entropy(judged.flatten(0, 1), labels.repeat_interleave(judged.shape[1]))
