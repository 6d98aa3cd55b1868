"""Predictions: ask a reader for a probability before an answer is shown, and score it afterwards."""

import math
from typing import Annotated

import msgspec

from greenai_nb.checks import UsageError
from greenai_nb.lesson.reader_files import ReaderFile

MIN_PROBABILITY, MAX_PROBABILITY = 0.01, 0.99


class Prediction(msgspec.Struct, frozen=True):
    """A statement, the probability that a reader gave it, and whether it turned out true."""

    statement: str
    probability: Annotated[float, msgspec.Meta(ge=MIN_PROBABILITY, le=MAX_PROBABILITY)]
    happened: bool | None = None

    @property
    def loss(self) -> float:
        """-log of the probability that was given to what happened, in nats."""
        return -math.log(self.probability if self.happened else 1 - self.probability)


PREDICTIONS = ReaderFile("my_predictions.json", "your record of predictions", Prediction)


def predict(question: str, statement: str, probability: float | None) -> None:
    """Store a reader's probability of a statement under the name ``question``.

    Once a question has been settled, its prediction is final. Raises ``UsageError`` unless the
    probability is ``None`` (not given yet) or lies in [0.01, 0.99]: certainty that proves wrong has
    an infinite loss.
    """
    print(f"statement: {statement}")
    if probability is None:
        print("not predicted yet: give it a probability above, such as 0.7, and run the cell again")
        return
    is_number = isinstance(probability, int | float)
    if not (is_number and MIN_PROBABILITY <= probability <= MAX_PROBABILITY):
        expected = f"a probability in [{MIN_PROBABILITY}, {MAX_PROBABILITY}]"
        raise UsageError(f"a prediction is {expected}, got {probability!r}: write 0.7 for 70 %.")
    predictions = PREDICTIONS.load()
    first = predictions.get(question)
    if first and first.happened is not None:
        print(f"answered before: your first prediction of {first.probability:.0%} counts")
        return
    PREDICTIONS.store(predictions | {question: Prediction(statement, float(probability))})
    print(f"you give it {probability:.0%}")


def settle(question: str, happened: bool) -> None:
    """Say whether a statement turned out true, and what the reader's prediction of it lost."""
    print("the statement is true" if happened else "the statement is false")
    predictions = PREDICTIONS.load()
    if not (mine := predictions.get(question)):
        return
    if mine.happened is None:
        mine = msgspec.structs.replace(mine, happened=bool(happened))
        PREDICTIONS.store(predictions | {question: mine})
    loss = f"lose {mine.loss:.2f} nats; a coin would lose {math.log(2):.2f}"
    print(f"you gave it {mine.probability:.0%} and {loss}")


def scored() -> list[Prediction]:
    """The reader's predictions that have been settled, in the order in which they were made."""
    return [prediction for prediction in PREDICTIONS.load().values() if prediction.happened is not None]
