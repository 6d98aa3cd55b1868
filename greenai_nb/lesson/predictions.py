"""Predictions: ask a reader for a probability before an answer is shown, and score it afterwards."""

import math
from dataclasses import asdict, dataclass, replace

from greenai_nb.checks import UsageError
from greenai_nb.lesson.project import PREDICTIONS_VARIABLE
from greenai_nb.lesson.reader_files import ReaderFile

PREDICTIONS = ReaderFile("my_predictions.json", PREDICTIONS_VARIABLE, "your record of predictions")
MIN_PROBABILITY, MAX_PROBABILITY = 0.01, 0.99


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
    """Store a reader's probability of a statement under the name ``question``.

    A prediction of a question that has been settled is final. Raises ``UsageError`` unless the
    probability is ``None``, not given yet, or lies in [0.01, 0.99]: certainty costs infinitely
    much when it is wrong.
    """
    print(f"statement: {statement}")
    if probability is None:
        print("not predicted yet: give it a probability above, such as 0.7, and run the cell again")
        return
    if not MIN_PROBABILITY <= probability <= MAX_PROBABILITY:
        limits = f"[{MIN_PROBABILITY}, {MAX_PROBABILITY}]"
        raise UsageError(
            f"a prediction is a probability in {limits}, got {probability!r}: write 0.7 for 70 %"
        )
    predictions = _load()
    if question in predictions and predictions[question].happened is not None:
        first = predictions[question].probability
        print(f"answered before: your first prediction of {first:.0%} counts")
        return
    _store(predictions | {question: Prediction(statement, float(probability))})
    print(f"you give it {probability:.0%}")


def settle(question: str, happened: bool) -> None:
    """Say whether a statement turned out true, and what the reader's prediction of it lost."""
    print("the statement is true" if happened else "the statement is false")
    predictions = _load()
    if question not in predictions:
        return
    if predictions[question].happened is None:
        predictions[question] = replace(predictions[question], happened=bool(happened))
        _store(predictions)
    mine = predictions[question]
    print(
        f"you gave it {mine.probability:.0%} and lose {mine.loss:.2f} nats; "
        f"a coin would lose {math.log(2):.2f}"
    )


def scored() -> list[Prediction]:
    """The reader's predictions that have been settled, in the order in which they were made."""
    return [prediction for prediction in _load().values() if prediction.happened is not None]


def _load() -> dict[str, Prediction]:
    return {name: Prediction(**stored) for name, stored in PREDICTIONS.load().items()}


def _store(predictions: dict[str, Prediction]) -> None:
    PREDICTIONS.store({name: asdict(prediction) for name, prediction in predictions.items()})
