"""What every back end of a meter does."""

from greenai_nb.energy.reading import Reading


class BackEnd:
    """What a meter reads: it starts when it is made, and gives joules since."""

    name: str
    provenance: str

    def read(self, time_s: float, cpu_s: float) -> Reading:
        """Joules so far, with the wall and CPU seconds that the meter gives."""
        raise NotImplementedError

    def close(self) -> None:
        """End what runs in the background; most back ends run nothing."""
