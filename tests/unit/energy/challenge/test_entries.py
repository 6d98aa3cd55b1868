"""Entries as files: complete ones, and never in the place of another."""

import pytest
import torch
from torch import nn

from greenai_nb.energy.challenge.entries import save, save_network
from greenai_nb.energy.challenge.scoring import score
from greenai_nb.nets.architectures import mlp, xnor_cnn


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_that_is_there_is_never_replaced(tmp_path):
    (tmp_path / "mine.py").write_text("a reader's own")
    assert save("first", tmp_path, "mine").name == "mine 2.py"
    assert save("second", tmp_path, "mine").name == "mine 3.py"
    assert save("first", tmp_path, "mine").name == "mine 2.py"
    assert names(tmp_path) == ["mine 2.py", "mine 3.py", "mine.py"]
    assert (tmp_path / "mine.py").read_text() == "a reader's own"


def test_a_network_and_its_weights_go_together(tmp_path):
    folder = tmp_path / "new"
    torch.manual_seed(0)
    net, other = mlp(784, 4, bias=True), mlp(784, 4, bias=True)
    assert save_network(net, folder, "small").name == "small.py"
    assert save_network(net, folder, "small").name == "small.py"
    assert save_network(other, folder, "small").name == "small 2.py"
    assert names(folder) == ["small 2.npz", "small 2.py", "small.npz", "small.py"]
    assert '"small 2.npz"' in (folder / "small 2.py").read_text()
    (folder / "small.npz").unlink()
    assert save_network(net, folder, "small").name == "small.py"


@pytest.mark.parametrize("make", [lambda: mlp(784, 4), lambda: nn.Sequential(*FOLDED)])
def test_the_entry_answers_as_the_network_does(tmp_path, make):
    torch.manual_seed(1)
    net, images = make().eval(), torch.rand(30, 1, 28, 28)
    with torch.inference_mode():
        labels = net(images).argmax(1)
    entry = save_network(net, tmp_path, "net")
    got = score(entry, images, labels, batch=10, rounds=3, round_s=0.01, limit_s=60)
    assert (got.problem, got.accuracy) == ("", 1)


FOLDED = nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(392, 10)


def test_layers_of_our_own_are_refused(tmp_path):
    with pytest.raises(TypeError, match=r"layers of torch.nn, and Sign is none"):
        save_network(xnor_cnn(2), tmp_path, "net")
    assert names(tmp_path) == []
