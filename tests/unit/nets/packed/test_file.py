import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from mutations import mutations
from packable import KERNELS, settled, vgg_like
from torch import nn

from greenai_nb.nets.binary import BinaryConv2d, BinaryLinear, Sign
from greenai_nb.nets.packed import file as packed_file
from greenai_nb.nets.packed.file import PackedFileError
from greenai_nb.nets.packed.pack import pack
from greenai_nb.nets.scaling import LearnedScale


def scaled_places():
    """Thresholds for each place, and a scale of places that stays in float."""
    rows, entries = LearnedScale((8, 1, 1), (1, 8, 1)), LearnedScale((5, 8, 8))
    for factor in (*rows.factors, *entries.factors):
        nn.init.uniform_(factor, 0.1, 1)
    first, last = (
        BinaryConv2d(channels, filters, 3, padding=1, scaling=scaling)
        for channels, filters, scaling in ((2, 8, rows), (8, 5, entries))
    )
    return nn.Sequential(Sign(), first, nn.BatchNorm2d(8), Sign(), last)


NETS = [vgg_like, scaled_places, lambda: nn.Sequential(Sign(), BinaryLinear(9, 4))]


@pytest.mark.parametrize("build", NETS)
def test_a_saved_network_comes_back_on_any_kernel(build, tmp_path):
    torch.manual_seed(7)
    net = build().eval()
    x = torch.randn(3, 2, 8, 8) if len(net) > 2 else torch.randn(3, 9)
    packed_file.save(pack(net), tmp_path / "net.npz")
    for kernel in KERNELS:
        again = packed_file.load(tmp_path / "net.npz", kernel)
        assert torch.equal(again(x), pack(net, kernel)(x))
        assert packed_file.sizes(again) == packed_file.sizes(pack(net, kernel))
    assert [path.name for path in tmp_path.iterdir()] == ["net.npz"]


def test_any_damage_is_refused_or_changes_nothing(tmp_path):
    x = torch.randn(3, 9, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(7)
    net = pack(nn.Sequential(Sign(), BinaryLinear(9, 4), nn.BatchNorm1d(4)).eval())
    path = tmp_path / "net.npz"
    packed_file.save(net, path)

    @settings(max_examples=1000)
    @given(mutations(path.read_bytes()))
    def damage(content):
        path.write_bytes(content)
        try:
            assert torch.equal(packed_file.load(path)(x), net(x))
        except PackedFileError as error:
            assert "net.npz" in str(error)

    damage()


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "net.npz"
    packed_file.save(pack(settled(vgg_like(), 2, 8, 8)), path)
    whole = path.read_bytes()
    for damaged in (whole[:-200], whole[: len(whole) // 2], b"", b"PK nothing", whole[200:]):
        path.write_bytes(damaged)
        with pytest.raises(PackedFileError, match=r"net\.npz"):
            packed_file.load(path)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    path.write_bytes(flipped)
    with pytest.raises(PackedFileError):
        packed_file.load(path)
    with np.load(io.BytesIO(whole)) as file:
        arrays = dict(file)
    for name in (name for name in arrays if name != "sha256"):
        old = arrays[name]
        for new in (
            old.ravel()[:0],
            old.astype("U99") if old.dtype.kind == "U" else old + old.dtype.type(1),
        ):
            if new.tobytes() != old.tobytes() or new.shape != old.shape:
                np.savez(path, **arrays | {name: new})
                with pytest.raises(PackedFileError, match=r"net\.npz"):
                    packed_file.load(path)
    np.savez(path, network=np.array('{"format": 99, "stages": []}'))
    with pytest.raises(PackedFileError, match="99"):
        packed_file.load(path)
    with pytest.raises(FileNotFoundError):
        packed_file.load(tmp_path / "none.npz")
