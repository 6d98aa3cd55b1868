"""The simplest estimate: own CPU seconds times the power of a busy virtual processor.

    E = cpu_s x w ,       w between the providers' lowest and highest figure at full load.

It is a stopwatch with a constant: linear, so that two threads for half the time cost the same, deaf to
neighbours, and without memory, cooling or idle power.

Source: Cloud Carbon Footprint, *Methodology*: 3.5 W (AWS), 3.76 W (Azure), 4.26 W (GCP) at full load.
"""

from greenai_nb.energy.backends.backend import BackEnd
from greenai_nb.energy.reading import Reading

BUSY_VCPU_W = (3.5, 4.26)
METHOD = "own CPU seconds x {} to {} W a busy vCPU".format(*BUSY_VCPU_W)


class CpuModel(BackEnd):
    """Estimates from CPU seconds alone."""

    name = "vcpu"
    provenance = "estimated"

    def read(self, time_s: float, cpu_s: float) -> Reading:
        """Joules of ``cpu_s`` CPU seconds, as an interval and its middle."""
        low, high = (watt * cpu_s for watt in BUSY_VCPU_W)
        middle = (low + high) / 2
        return Reading(middle, low, high, self.provenance, METHOD, time_s, cpu_s, {"cpu": middle})
