"""A reader's predictions: asked before an answer is shown, scored after it, kept on this machine."""

import math
from dataclasses import asdict, dataclass, replace

from greenai_nb.checks import UsageError
from greenai_nb.lesson.reader_files import ReaderFile

KEPT = ReaderFile("my_predictions.json", "GREENAI_PREDICTIONS", "your record of predictions")
LEAST, MOST = 0.01, 0.99


@dataclass(frozen=True)
class Prediction:
    """A statement, the probability that a reader gave it, and whether it turned out true."""

    statement: str
    probability: float
    happened: bool | None = None

    @property
    def loss(self) -> float:
        """-log of the probability that was given to what happened, in nats."""
        return -math.log(self.probability if self.happened else 1 - self.probability)


def predict(question: str, statement: str, probability: float | None) -> None:
    """Ask for the probability of a statement, and keep it under the name ``question``.

    The first answer to a question that has been settled stays. Raises ``UsageError`` unless the
    probability is ``None``, not given yet, or lies in [0.01, 0.99]: certainty costs infinitely
    much when it is wrong.
    """
    print(f"statement: {statement}")
    if probability is None:
        print("not predicted yet: give it a probability above, such as 0.7, and run the cell again")
        return
    if not LEAST <= probability <= MOST:
        raise UsageError(
            f"a prediction is a probability in [{LEAST}, {MOST}], got {probability!r}: "
            "write 0.7 for 70 %"
        )
    kept = _load()
    if question in kept and kept[question].happened is not None:
        print(f"answered before: your first prediction of {kept[question].probability:.0%} counts")
        return
    _store(kept | {question: Prediction(statement, float(probability))})
    print(f"you give it {probability:.0%}")


def settle(question: str, happened: bool) -> None:
    """Say whether a statement turned out true, and what the reader's prediction of it lost."""
    print("the statement is true" if happened else "the statement is false")
    kept = _load()
    if question not in kept:
        return
    if kept[question].happened is None:
        kept[question] = replace(kept[question], happened=bool(happened))
        _store(kept)
    mine = kept[question]
    print(
        f"you gave it {mine.probability:.0%} and lose {mine.loss:.2f} nats; "
        f"a coin would lose {math.log(2):.2f}"
    )


def scored() -> list[Prediction]:
    """The reader's predictions that have been settled, in the order in which they were made."""
    return [each for each in _load().values() if each.happened is not None]


def _load() -> dict[str, Prediction]:
    return {name: Prediction(**entry) for name, entry in KEPT.load().items()}


def _store(predictions: dict[str, Prediction]) -> None:
    KEPT.store({name: asdict(each) for name, each in predictions.items()})
