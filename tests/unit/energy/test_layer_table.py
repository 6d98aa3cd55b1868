import time

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from greenai_nb.energy.derived import derived_by_layer
from greenai_nb.energy.layer_table import layer_table
from greenai_nb.nets.architectures import cnn, xnor_cnn
from greenai_nb.nets.counts import count
from greenai_nb.nets.mobilenet import InvertedResidual
from greenai_nb.nets.packed.pack import pack

IMAGES = torch.rand(4, 1, 28, 28)
COUNTED = count(cnn(4), IMAGES).columns


class Burn(nn.Module):
    """Uses a given amount of this thread's time, and hands its input on."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.calls = seconds, 0

    def forward(self, x):
        self.calls += 1
        start = time.thread_time()
        while time.thread_time() - start < self.seconds:
            pass
        return x


class Heavy(nn.Module):
    """Works outside of its layers."""

    def __init__(self, inside: nn.Module, outside: Burn) -> None:
        super().__init__()
        self.inside, self._outside = inside, [outside]

    def forward(self, x):
        return self._outside[0](self.inside(x))


@pytest.mark.parametrize("build", [cnn, xnor_cnn])
def test_rows_sum_to_the_whole(build):
    torch.manual_seed(0)
    net = build(4)
    table = layer_table(net, IMAGES, repeats=3)
    assert table["layer"].tolist() == [*map(str, range(len(net))), "rest"]
    assert table["cpu_share"].sum() == pytest.approx(1)
    assert table["derived_share"].sum() == pytest.approx(1)
    assert (table["cpu_s"][:-1] > 0).all()
    counts = count(net, IMAGES)
    assert table[COUNTED][:-1].equals(counts)
    assert table["derived_j"][:-1].tolist() == derived_by_layer(counts)["derived_j"].tolist()
    assert table[COUNTED[2:]].iloc[-1].eq(0).all() and table["derived_j"].iloc[-1] == 0


def test_time_goes_to_the_layer_that_takes_it():
    net = nn.Sequential(Burn(0.001), nn.Flatten(), Burn(0.003))
    table = layer_table(net, torch.zeros(1, 2), repeats=3)
    assert table["cpu_s"][0] == pytest.approx(0.001, rel=0.1)
    assert table["cpu_s"][2] == pytest.approx(0.003, rel=0.1)
    assert table["cpu_share"].tolist()[:3] == pytest.approx([0.25, 0, 0.75], abs=0.05)
    assert abs(table["cpu_share"].iloc[-1]) < 0.05


def test_what_no_layer_does_is_the_rest():
    net = Heavy(Burn(0.001), Burn(0.003))
    table = layer_table(net, torch.zeros(1, 2), repeats=3)
    assert table["layer"].tolist() == ["inside", "rest"]
    assert table["cpu_share"].tolist() == pytest.approx([0.25, 0.75], abs=0.05)


def test_a_layer_is_replayed_as_often_as_its_window_and_repeats_say():
    burn = Burn(0.001)
    layer_table(nn.Sequential(burn), torch.zeros(1, 2), repeats=5)
    # The layer and the whole are each called to warm up, to find the window, and in five windows.
    alone = burn.calls // 2
    assert 2 + 5 * 2 <= alone <= 2 + 5 * 3


class AddsInPlace(nn.Module):
    def forward(self, x):
        return x.add_(1)


class Notes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.seen, self.threads = [], set()

    def forward(self, x):
        self.seen += x.flatten().tolist()
        self.threads.add(torch.get_num_threads())
        return x


def test_a_layer_that_works_in_place_does_not_change_the_pass(one_thread):
    torch.set_num_threads(2)
    notes = Notes()
    layer_table(nn.Sequential(nn.ReLU(), AddsInPlace(), notes), torch.full((1, 1), 3.0), repeats=1)
    assert set(notes.seen) == {4.0}
    assert notes.threads == {1} and torch.get_num_threads() == 2


def test_the_network_and_torch_are_as_before():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(inplace=True), nn.Dropout())
    net[3].eval()
    prune.l1_unstructured(net[0], "weight", 0.5)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    images = IMAGES.clone()
    layer_table(net, images, repeats=1)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert [layer.training for layer in net.modules()] == [True, True, True, True, False]
    assert torch.equal(images, IMAGES)
    assert not any(layer._forward_hooks for layer in net.modules())
    assert [len(layer._forward_pre_hooks) for layer in net] == [1, 0, 0, 0]  # the mask of torch's own


def test_a_pass_that_fails_leaves_no_hooks():
    class Fails(nn.Module):
        def forward(self, x):
            if len(x):
                raise RuntimeError("this layer takes no images")
            return x

    net = nn.Sequential(nn.Flatten(), Fails())
    with pytest.raises(RuntimeError, match="takes no images"):
        layer_table(net, IMAGES)
    assert net.training and not any(layer._forward_pre_hooks for layer in net.modules())


def test_packed_stages_are_replayed_too():
    torch.manual_seed(0)
    table = layer_table(pack(xnor_cnn(4).eval()), IMAGES, repeats=2)
    assert table["kind"].tolist()[:-1] == [
        *("FloatToSigns", "BinaryStage"),
        *("FloatStage",) * 3,  # ReLU, flatten, linear
    ]
    assert table["cpu_share"].sum() == pytest.approx(1) and (table["cpu_s"][:-1] > 0).all()


def test_blocks_are_opened_and_layers_used_twice_add_up():
    torch.manual_seed(0)
    table = layer_table(InvertedResidual(4, 4, 6, 1), torch.rand(1, 4, 8, 8), repeats=1)
    assert table["layer"].tolist()[:2] == ["layers.0.0", "layers.0.1"]
    burn = Burn(0.001)
    twice = layer_table(nn.Sequential(burn, nn.Flatten(), burn), torch.zeros(1, 2), repeats=3)
    assert twice["cpu_s"][0] == pytest.approx(0.002, rel=0.1)


def test_repeats_must_be_one_or_more():
    with pytest.raises(ValueError, match=r"repeats.*0"):
        layer_table(cnn(2), IMAGES, repeats=0)
