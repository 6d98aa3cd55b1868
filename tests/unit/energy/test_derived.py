import pytest
import torch
from torch import nn

from greenai_nb.energy.derived import derived_by_layer, derived_energy
from greenai_nb.nets.architectures import mlp
from greenai_nb.nets.binary import BinaryLinear
from greenai_nb.nets.counts import count
from greenai_nb.nets.scaling import NoScale
from greenai_nb.nets.sign import ste_sign
from greenai_nb.nets.spiking import arriving_spikes, by_events, spiking_mlp


def test_derived_joules_by_hand():
    table = count(nn.Linear(10, 4), torch.zeros(3, 10))
    reading = derived_energy(table)
    arithmetic, weights, activations = 120 * 4.6 + 12 * 0.9, 176 * 1300 / 8, (120 + 48) * 100 / 8
    assert reading.energy_j == pytest.approx(1e-12 * (arithmetic + weights + activations))
    assert reading.components["weights"] == pytest.approx(1e-12 * weights)
    assert reading.provenance == "derived" and "45 nm" in reading.method
    assert "162.5 pJ a byte" in reading.method and "12.5 pJ a byte" in reading.method
    layers = derived_by_layer(table)
    assert layers["derived_j"].sum() == pytest.approx(reading.energy_j)
    assert layers["provenance"].tolist() == ["derived"]


@pytest.mark.parametrize(
    ("layer", "arithmetic", "picojoules"),
    [
        (nn.Linear(10, 4, bias=False), "float32", 40 * 4.6),
        (nn.Linear(10, 4, bias=False), "float16", 40 * 1.5),
        (nn.Linear(10, 4, bias=False), "int8", 40 * 0.3),
        (BinaryLinear(10, 4, scaling=NoScale()), "float32", 40 * 0.9),
        (BinaryLinear(10, 4, scaling=NoScale()), "int8", 40 * 0.1),
        (BinaryLinear(10, 4, scaling=NoScale(), input_quantizer=ste_sign), "float32", 40 * 0.0072 + 9),
        (BinaryLinear(10, 4), "float32", 40 * 0.9 + 4 * 3.7),
    ],
)
def test_every_kind_of_product_has_its_price(layer, arithmetic, picojoules):
    table = count(layer, torch.zeros(1, 10))
    reading = derived_energy(table, arithmetic)
    assert 1e12 * reading.components["arithmetic"] == pytest.approx(picojoules)
    assert arithmetic in reading.method


def test_memories_and_names_that_are_not_published():
    table = count(mlp(6, 4), torch.zeros(1, 6))
    near = derived_energy(table, weights_in="SRAM of 8 KB", activations_in="SRAM of 8 KB")
    far = derived_energy(table, weights_in="DRAM", activations_in="DRAM")
    assert far.components["weights"] == pytest.approx(130 * near.components["weights"])
    assert far.components["activations"] == pytest.approx(130 * near.components["activations"])
    for name in ("arithmetic", "weights_in", "activations_in"):
        with pytest.raises(ValueError, match=f"{name} must be one of .*, got 'flash'"):
            derived_energy(table, **{name: "flash"})


def test_spikes_by_hand():
    net, images = spiking_mlp(4, 3, 2, steps=2), torch.ones(5, 1, 2, 2)
    table = by_events(count(net, images), {"1": 20, "4": 6})
    reading = derived_energy(table, weights_in="SRAM of 8 KB", activations_in="SRAM of 1 MB")
    events, updates = 20 * 3 + 6 * 2, 5 * 2 * 3
    assert 1e12 * reading.components["arithmetic"] == pytest.approx(events * 0.9 + updates * 5.5)
    assert 1e12 * reading.components["weights"] == pytest.approx(events * 4 * 10 / 8)
    passed = table["input_bytes"].sum() + table["output_bytes"].sum()
    assert 1e12 * reading.components["activations"] == pytest.approx((passed + updates * 8) * 100 / 8)


def test_a_batch_shares_the_reads_of_a_float_layer_and_not_those_of_spikes():
    def weights_j(net, images):
        table = by_events(count(net, images), arriving_spikes(net, images))
        return derived_energy(table).components["weights"] / len(images)

    image = torch.ones(1, 1, 2, 2)
    ten = image.repeat(10, 1, 1, 1)
    for net, shared in ((spiking_mlp(4, 3, 2), 1), (mlp(4, 3, 2), 10)):
        assert weights_j(net, ten) == pytest.approx(weights_j(net, image) / shared)
