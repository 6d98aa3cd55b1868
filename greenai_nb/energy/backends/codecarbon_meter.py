"""codecarbon as a back end: silent, offline, repeatable, and labelled as the estimate it is.

Where there is no counter its number is a stopwatch with constants, TDP from a table or 4 W per thread:

    E = time_s (W of memory + TDP (0.1 + 0.9 load^3))                    machine mode
    E = time_s  W of memory + TDP cpu_s / threads                        process mode

Memory is a constant by its size, and most of the sum on a small machine. When neighbours are busy, only
the ``cpu`` part of process mode follows the work. Where codecarbon reads RAPL, it adds constants to it.

Source: codecarbon 3.3.2, ``external/hardware.py`` and ``external/ram.py``.
"""

import logging
import tempfile
import weakref
from typing import Any

from greenai_nb import machine
from greenai_nb.checks import non_negative, one_of
from greenai_nb.energy.backends.backend import BackEnd
from greenai_nb.energy.carbon import nearest_country
from greenai_nb.energy.reading import Reading

MODES = ("process", "machine")
J_PER_KWH = 3.6e6
PARTS = ("cpu", "ram", "gpu")


class CodecarbonMeter(BackEnd):
    """codecarbon's joules and grams of CO2e since this was made, for a country by its ISO-3 code.

    ``mode`` is process or machine; ``ram_w`` replaces the watts that it takes for the memory. No file is
    written, none is read (a user's ``.codecarbon.config`` and ``CODECARBON_*`` are ignored), nothing is
    sent, and no signal handler is set. The first one in a process takes a second or more to inspect the
    hardware. One thread samples the load each second until ``close``.

    Raises ``ValueError`` for an unknown country or mode or a negative power, and ``OSError`` where
    codecarbon does not start.
    """

    name = "codecarbon"
    provenance = "estimated"

    def __init__(self, country: str, mode: str = "process", ram_w: float | None = None) -> None:
        one_of(MODES, mode=mode)
        if ram_w is not None:
            non_negative(ram_w=ram_w)
        from codecarbon.input import DataSource

        known = DataSource().get_global_energy_mix_data()
        if country not in known:
            names = {code: row["country_name"] for code, row in known.items()}
            raise ValueError(
                f"country must be one of the {len(known)} codes that codecarbon knows, three letters as "
                f"FRA, DEU or USA, got {country!r}. {nearest_country(str(country), names)}"
            )
        self._tracker = _tracker(country, mode, ram_w)
        self._tracker.start_task()
        self._joules, self._carbon_g = dict.fromkeys(PARTS, 0.0), 0.0
        self._method = f"{_constants(self._tracker)}, {mode} mode, {country}; gives no interval"
        _, limit_mb = machine.container_limits()
        if ram_w is None and limit_mb == machine.memory_limit_mb():
            self._method += f"; memory's watts are the machine's, not the container's {limit_mb:.0f} MB"
        # Otherwise the thread would outlive a meter that nobody closed.
        self._stop = weakref.finalize(self, self._tracker.stop)
        self._stop.atexit = False

    def read(self, time_s: float, cpu_s: float) -> Reading:
        """Joules and grams so far; a few milliseconds of the read itself are not counted."""
        task = self._tracker.stop_task()
        self._tracker.start_task()
        for part in PARTS:
            self._joules[part] += J_PER_KWH * getattr(task, f"{part}_energy")
        self._carbon_g += 1000 * task.emissions
        more = {"components": dict(self._joules), "carbon_g": self._carbon_g}
        joules = sum(self._joules.values())
        return Reading.exact(joules, self.provenance, self._method, time_s, cpu_s, **more)

    def close(self) -> None:
        """End codecarbon's thread; closing again does nothing."""
        self._stop()


def _tracker(country: str, mode: str, ram_w: float | None) -> Any:
    from unittest import mock

    from codecarbon import OfflineEmissionsTracker

    # The level that is passed to the tracker comes too late for its first lines.
    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
    # Ignore configuration files and variables; arguments cannot override all of them.
    with mock.patch("codecarbon.emissions_tracker.get_hierarchical_config", dict):
        tracker = OfflineEmissionsTracker(
            country_iso_code=country,
            tracking_mode=mode,
            force_ram_power=ram_w,
            output_methods=[],
            output_dir=tempfile.gettempdir(),
            allow_multiple_runs=True,  # a lock would come with signal handlers
            log_level="critical",
        )
    # The constructor swallows its errors, and sets this last.
    if not hasattr(tracker, "run_id"):
        raise OSError("codecarbon did not start and gives no reason: Meter('vcpu') estimates without it")
    return tracker


def _constants(tracker: Any) -> str:
    """Version, and method for the processor, which is private to codecarbon and only described here."""
    from codecarbon._version import __version__

    for part in tracker._hardware:
        if hasattr(part, "_mode"):
            return f"codecarbon {__version__}, CPU by {part._mode} of {part._tdp} W"
    return f"codecarbon {__version__}"
