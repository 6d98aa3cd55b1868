"""Carbon calculators: joules and grams from constants, each with its source and year.

None of them reads a counter. A result says how it was obtained, with the constants in words:
*estimated*, *derived* or *quoted*. Results cannot be added or ordered, since numbers
obtained in different ways must not be summed or ranked.

Source: Lannelongue, Grealey and Inouye, *Green Algorithms*, Advanced Science (2021); Lacoste et al.,
*Quantifying the carbon emissions of machine learning* (2019); Anthony, Kanding and Selvan,
*Carbontracker* (2020); Noureddine et al., *PowerAPI* (2012); Patterson et al. (2021).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import pandas as pd

from greenai_nb.checks import nearest, non_negative, positive
from greenai_nb.intervals import student_interval


@dataclass(frozen=True)
class Constant:
    """A number that somebody published, with its source and the year it stands for."""

    value: float
    unit: str
    what: str
    source: str
    year: str

    def __str__(self) -> str:
        return f"{self.what} {self.value:g} {self.unit}".rstrip() + f" ({self.source}, {self.year})"


@dataclass(frozen=True)
class Amount:
    """A calculated number with its constants in words, and its 95 % interval where there is one."""

    value: float
    unit: str
    provenance: str
    constants: tuple[str, ...]
    interval: tuple[float, float] | None = None

    def __str__(self) -> str:
        spread = "" if self.interval is None else " [{:.4g}, {:.4g}]".format(*self.interval)
        return f"{self.value:.4g}{spread} {self.unit} ({self.provenance})"


@dataclass(frozen=True)
class Hardware:
    """What a calculator assumes of the machines that train: speed, power, and overhead."""

    flop_per_s: float
    power_w: float
    pue: float
    source: str


MEMORY_W_PER_GB = Constant(0.3725, "W/GB", "memory", "Green Algorithms v1.0 to v3.0", "2021")
PUE = Constant(1.56, "", "PUE", "Uptime Institute", "2024")
PUE_2019 = Constant(1.67, "", "PUE", "Uptime Institute", "2019")
WORLD_G_PER_KWH = Constant(475, "g/kWh", "world mean", "IEA, in Green Algorithms", "2019")
ML_CO2_G_PER_KWH = Constant(432, "g/kWh", "default grid", "ML CO2 Impact", "2019")
# Two accountings, never to be mixed: life cycle (Ember, through Our World in Data), and the direct
# emissions of the production mix (in Europe by the Association of Issuing Bodies).
GRID_TABLES = {"codecarbon_3_3_2": "codecarbon 3.3.2", "green_algorithms_v3": "Green Algorithms v3.0"}
TDP_SHARE = 0.7  # share of a processor's thermal design power that PowerAPI assumes at full speed
GPT3_FLOP = Constant(3.14e23, "FLOP", "training GPT-3", "Brown et al.", "2020")
GPT3_HARDWARE = {
    "2020": Hardware(130e12, 250, 1.125, "Anthony et al. 2020: peak speed, TDP of the card"),
    "2021": Hardware(24.6e12, 330, 1.10, "Patterson et al. 2021: measured speed, system power per card"),
}


def green_algorithms(
    hours: float,
    cores: float,
    core_w: float,
    memory_gb: float,
    *,
    usage: float = 1.0,
    pue: float = PUE.value,
    repeats: int = 1,
) -> Amount:
    """Energy of a job in kWh by Green Algorithms.

    E = t (n_c P_c u_c + n_m 0.3725) PUE PSF / 1000, with t in hours, n_c cores of P_c watts in use
    for a share u_c of the time, n_m gigabytes of memory *available*, and PSF, how often the job was run.
    Raises ``ValueError`` for negative arguments, usage above 1 and a PUE below 1.
    """
    non_negative(hours=hours, cores=cores, core_w=core_w, memory_gb=memory_gb, repeats=repeats)
    if not 0 <= usage <= 1:
        raise ValueError(f"usage is a share of the time in [0, 1], got {usage!r}")
    watts = cores * core_w * usage + memory_gb * MEMORY_W_PER_GB.value
    said = (f"{cores:g} x {core_w:g} W, {usage:.0%} in use", str(MEMORY_W_PER_GB), _pue_words(pue))
    return Amount(hours * watts * pue * repeats / 1000, "kWh", "estimated", said)


def ml_co2_impact(power_w: float, hours: float, g_per_kwh: float = ML_CO2_G_PER_KWH.value) -> Amount:
    """Emissions in gCO2e by ML CO2 Impact: power of the card x hours x intensity of the grid.

    Leaves out processor, memory and PUE. Raises ``ValueError`` for negative arguments.
    """
    non_negative(power_w=power_w, hours=hours, g_per_kwh=g_per_kwh)
    said = (f"{power_w:g} W all the time", f"{g_per_kwh:g} g/kWh")
    return Amount(power_w * hours / 1000 * g_per_kwh, "gCO2e", "estimated", said)


def extrapolate_epochs(epochs_kwh: Sequence[float], total: int) -> Amount:
    """Energy of a whole training in kWh from its first epochs, as Carbontracker forecasts it.

    E = N mean(e_1 .. e_n), with the 95 % prediction interval for the N - n epochs that are left,
    E -+ t_{n-1} s (N - n) sqrt(1/n + 1/(N - n)), if epochs are independent and alike. They are not
    quite: the first one is often short. One epoch has no spread, so its interval has no upper end.
    Raises ``ValueError`` for no epoch, negative epochs, or more than the total.
    """
    count, left = len(epochs_kwh), total - len(epochs_kwh)
    if not 1 <= count <= total:
        raise ValueError(f"expected between 1 and {total} epochs, the total, got {count}")
    non_negative(**{f"epoch {number}": value for number, value in enumerate(epochs_kwh, 1)})
    mean, _, high = (float(end) for end in student_interval(np.asarray(epochs_kwh)))
    half = (high - mean) * math.sqrt(left * total)  # high - mean = t_{n-1} s / sqrt(n)
    spent, said = float(sum(epochs_kwh)), [f"mean of the first {count} x {total} epochs"]
    if count == 1 < total:
        said, half = [*said, "one epoch has no spread"], math.inf
    energy = spent + left * mean
    return Amount(energy, "kWh", "estimated", tuple(said), (max(spent, energy - half), energy + half))


def dvfs_power(tdp_w: float, ghz: float, volt: float, top_ghz: float, top_volt: float) -> Amount:
    """Power of a processor in watts by PowerAPI, from its frequency f and its voltage V.

    P = c f V^2 with c = 0.7 TDP / (f_top V_top^2), where f_top and V_top are the highest frequency that
    is listed and its voltage. Raises ``ValueError`` for negative arguments and a top that is zero.
    Source: Noureddine et al. (2012), as in its release of 2013.
    """
    non_negative(tdp_w=tdp_w, ghz=ghz, volt=volt)
    positive(top_ghz=top_ghz, top_volt=top_volt)
    constant = TDP_SHARE * tdp_w / (top_ghz * top_volt**2)
    said = (f"TDP {tdp_w:g} W", f"{ghz:g} of {top_ghz:g} GHz", f"{volt:g} of {top_volt:g} V")
    return Amount(constant * ghz * volt**2, "W", "estimated", said)


def process_power(machine_w: float, process_cpu_s: float, machine_cpu_s: float) -> Amount:
    """Power of one process in watts by PowerAPI: the machine's power x its share of CPU time.

    P = P_machine c_process / c_machine over the same moments. With *busy* time as c_machine, a process
    that is alone pays for all idle power too. Raises ``ValueError`` unless the share is in [0, 1].
    """
    non_negative(machine_w=machine_w, process_cpu_s=process_cpu_s, machine_cpu_s=machine_cpu_s)
    if process_cpu_s > machine_cpu_s or machine_cpu_s == 0:
        used = f"the process used {process_cpu_s:g} of the machine's {machine_cpu_s:g} CPU seconds"
        raise ValueError(f"{used}, expected a part of more than 0: measure both over the same moments")
    share = process_cpu_s / machine_cpu_s
    return Amount(machine_w * share, "W", "estimated", (f"{machine_w:g} W", f"share {share:.3g}"))


def training_energy(flop: float, on: Hardware) -> Amount:
    """Energy in kWh of a number of operations: E = flop / (operations a second) x watts x PUE."""
    non_negative(flop=flop, power_w=on.power_w)
    positive(flop_per_s=on.flop_per_s)
    said = (f"{on.flop_per_s / 1e12:g} TFLOP/s", f"{on.power_w:g} W", _pue_words(on.pue, on.source))
    return Amount(flop / on.flop_per_s * on.power_w * on.pue / 3.6e6, "kWh", "derived", said)


def emissions(energy: Amount, grid: Constant) -> Amount:
    """Emissions in gCO2e of an energy in kWh on a grid: estimated if the energy is, else derived.

    Raises ``ValueError`` for an amount in another unit.
    """
    if energy.unit != "kWh":
        raise ValueError(f"expected an amount in kWh, got {energy}")
    provenance = "estimated" if energy.provenance == "estimated" else "derived"
    interval = energy.interval and (energy.interval[0] * grid.value, energy.interval[1] * grid.value)
    said = (*energy.constants, str(grid))
    return Amount(energy.value * grid.value, "gCO2e", provenance, said, interval)


def read_table(name: str) -> pd.DataFrame:
    """A table of the package as it was published, with its sources. See ``tables/README.md``."""
    with (files("greenai_nb.energy") / "tables" / f"{name}.csv").open() as text:
        return pd.read_csv(text, keep_default_na=False, na_values=[""])


def intensity(country: str, table: str = "codecarbon_3_3_2") -> Constant:
    """Carbon intensity of a country's electricity, by its ISO code of three letters or ``WORLD``.

    The ``GRID_TABLES`` count differently: codecarbon's intensities are those of a life cycle, those of
    Green Algorithms the direct emissions of power stations. Raises ``ValueError`` where there is no
    such country, table or value.
    """
    rows = {row["iso3"]: row for row in read_table("carbon_intensity").to_dict("records")}
    if country not in rows:
        near = nearest_country(country, {code: row["country"] for code, row in rows.items()})
        raise ValueError(f"country must be a code of three capital letters, got {country!r}. {near}")
    row = rows[country]
    value = float(row.get(f"g_per_kwh_{table}", math.nan))
    if math.isnan(value):
        raise ValueError(f"{table} has no intensity for {country}: take one of {', '.join(GRID_TABLES)}")
    year = row["year_codecarbon" if table.startswith("codecarbon") else "year_green_algorithms"]
    return Constant(value, "g/kWh", row["country"], GRID_TABLES[table], str(year))


def nearest_country(given: str, names: Mapping[str, str]) -> str:
    """A sentence that suggests the countries, by code, that are nearest to a wrong code or a name."""
    labels = {code: f"{code} ({name})" for code, name in names.items()}
    begins = given.upper()[:2] if 0 < len(given) <= 3 else "?"  # the letters of an ISO code are three
    near = [label for code, label in labels.items() if code.startswith(begins)]
    return f"Did you mean {' or '.join(near)}?" if near else nearest(given, labels.values())


def _pue_words(pue: float, source: str = "given") -> str:
    if not 1 <= pue < math.inf:
        raise ValueError(f"a PUE is total over useful energy and at least 1, got {pue!r}")
    known = {constant.value: str(constant) for constant in (PUE, PUE_2019) if source == "given"}
    return known.get(pue, f"PUE {pue:g} ({source})")
