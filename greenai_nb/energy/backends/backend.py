"""What every back end of a meter does."""

from greenai_nb.energy.reading import Reading


class BackEnd:
    """A source of readings for a meter: it starts when made, and gives the joules since."""

    name: str
    provenance: str

    def read(self, time_s: float, cpu_s: float) -> Reading:
        """Joules so far, with the wall and CPU seconds that the meter gives."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop what runs in the background; for most back ends that is nothing."""
