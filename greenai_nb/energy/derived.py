"""Joules derived from counts: each operation and each byte at its published energy on a 45 nm chip.

    E = sum_k n_k e_k + b_w e_w + b_a e_a ,

with n_k operations of kind k at e_k, b_w bytes of weights, read once a pass, or each time that a spike
arrives, at e_w, and b_a bytes of activations and membranes that layers read and write at e_a. This is no
machine's consumption: it ignores control, leakage, idle circuits and how well a processor is used. It
says what operations alone cost, and how far apart their kinds are.

Source: Horowitz, *Computing's energy problem* (ISSCC 2014), figure 1.1.9, and what
``tables/energy_per_op_45nm.csv`` names for each row.
"""

import math
from collections.abc import Mapping

from pandas import DataFrame, Series

from greenai_nb.checks import one_of
from greenai_nb.energy.carbon import read_table
from greenai_nb.energy.reading import Reading

PICOJOULE = 1e-12
# Multiplication and addition, by name in the table and bits; int8 accumulates in 32 bits.
ARITHMETIC = {
    "float32": (("fp_mult", 32), ("fp_add", 32)),
    "float16": (("fp_mult", 16), ("fp_add", 16)),
    "int8": (("int_mult", 8), ("int_add", 32)),
}
SRAM = "SRAM of 1 MB"
MEMORIES = {
    "SRAM of 8 KB": ("sram_read_8KB", 64),
    "SRAM of 32 KB": ("sram_read_32KB", 64),
    SRAM: ("sram_read_1MB", 64),
    "DRAM": ("dram_read", 64),
}
ACTIVATIONS = ("input_bytes", "output_bytes", "state_bytes")
PARTS = ("arithmetic", "weights", "activations")


def derived_energy(
    table: DataFrame, arithmetic: str = "float32", weights_in: str = "DRAM", activations_in: str = SRAM
) -> Reading:
    """Joules of a table of counts: a reading of provenance ``derived``, whose ``method`` is the model.

    Float operations are taken in ``arithmetic``; the bytes are those of the table; for numbers
    of other sizes, pass ``number_bytes`` to ``count``. A product of a sign and a float is an addition;
    that of two signs takes 0.0072 pJ, extrapolated by a fit beyond its range of bits; operations on
    integers are additions of 32 bits. A synaptic operation is an addition, the update of a leaky unit a
    multiplication and two additions. A write costs what a read costs. Zeros are multiplied like other
    numbers: for a machine that skips them, pass ``table.assign(macs=table["nonzero_macs"])``.

    Raises ``ValueError`` for an arithmetic or a memory that is not in ``ARITHMETIC`` or ``MEMORIES``.
    """
    rows = derived_by_layer(table, arithmetic, weights_in, activations_in)
    parts = {part: float(rows[f"{part}_j"].sum()) for part in PARTS}
    energy_j, prices = sum(parts.values()), _prices(arithmetic, weights_in, activations_in)
    method = (
        f"counts x energy an operation at 45 nm (Horowitz 2014): {arithmetic} multiply-accumulate "
        f"{prices['macs']:.3g} pJ, addition {prices['additions']:.3g} pJ, product of signs "
        f"{prices['bit_operations']:.2g} pJ (extrapolated); bytes of weights from {weights_in}, "
        f"{prices['weight_bytes']:.4g} pJ a byte; activations in and out of {activations_in}, "
        f"{prices['input_bytes']:.4g} pJ a byte; nothing else"
    )
    return Reading.exact(energy_j, "derived", method, math.nan, math.nan, components=parts)


def derived_by_layer(
    table: DataFrame, arithmetic: str = "float32", weights_in: str = "DRAM", activations_in: str = SRAM
) -> DataFrame:
    """The same layer by layer: ``layer``, ``kind``, ``arithmetic_j``, ``weights_j``, ``activations_j``.

    ``derived_j`` is their sum, and the column ``provenance`` says ``derived`` in each row.
    """
    prices = _prices(arithmetic, weights_in, activations_in)
    joules = table[[*prices]] * Series(prices) * PICOJOULE
    return table[["layer", "kind"]].assign(
        arithmetic_j=joules.drop(columns=["weight_bytes", *ACTIVATIONS]).sum(axis=1),
        weights_j=joules["weight_bytes"],
        activations_j=joules[[*ACTIVATIONS]].sum(axis=1),
        derived_j=joules.sum(axis=1),
        provenance="derived",
    )


def _prices(arithmetic: str, weights_in: str, activations_in: str) -> Mapping[str, float]:
    """Picojoules an operation or a byte, by the column of the table of counts."""
    one_of(ARITHMETIC, arithmetic=arithmetic)
    one_of(MEMORIES, weights_in=weights_in, activations_in=activations_in)
    published = read_table("energy_per_op_45nm").set_index(["op", "bits"])["energy_pj"]
    product, addition = (published[kind] for kind in ARITHMETIC[arithmetic])
    byte = {name: 8 * published[op, bits] / bits for name, (op, bits) in MEMORIES.items()}
    return {
        "macs": product + addition,
        "signed_additions": addition,
        "bit_operations": published["xnor_popcount_mac", 1],
        "additions": addition,
        "multiplications": product,
        "integer_operations": published["int_add", 32],
        "synaptic_operations": addition,
        "neuron_updates": product + 2 * addition,
        "weight_bytes": byte[weights_in],
        **dict.fromkeys(ACTIVATIONS, byte[activations_in]),
    }
