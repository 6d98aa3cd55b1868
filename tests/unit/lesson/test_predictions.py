import json
import math
from dataclasses import replace

import pytest

from greenai_nb.checks import UsageError
from greenai_nb.lesson import predictions
from greenai_nb.lesson.predictions import predict, scored, settle
from greenai_nb.machine import INTERACTIVE_VARIABLE


def test_a_prediction_is_kept_and_scored(reader, capsys):
    predict("rain", "It rains.", 0.7)
    predict("snow", "It snows.", 0.2)
    assert scored() == []
    settle("snow", False)
    settle("rain", True)
    assert [(each.statement, each.happened) for each in scored()] == [
        ("It rains.", True),
        ("It snows.", False),
    ]
    assert [each.loss for each in scored()] == pytest.approx([-math.log(0.7), -math.log(0.8)])
    said = capsys.readouterr().out
    assert "you give it 70%" in said and "lose 0.36 nats; a coin would lose 0.69" in said


def test_hindsight_does_not_change_a_prediction(reader, capsys):
    predict("rain", "It rains.", 0.3)
    predict("rain", "It rains.", 0.4)
    settle("rain", True)
    predict("rain", "It rains.", 0.99)
    settle("rain", True)
    assert [each.probability for each in scored()] == [0.4]
    assert "your first prediction of 40% counts" in capsys.readouterr().out


def test_nothing_predicted_is_nothing_kept(reader, capsys):
    predict("rain", "It rains.", None)
    settle("rain", False)
    assert not reader.exists() and scored() == []
    assert "not predicted yet" in capsys.readouterr().out


def test_a_run_without_a_reader_neither_keeps_nor_reads(reader, monkeypatch, capsys):
    predict("rain", "It rains.", 0.3)
    settle("rain", True)
    before = reader.read_text()
    monkeypatch.setenv(INTERACTIVE_VARIABLE, "0")
    predict("snow", "It snows.", 0.3)
    settle("rain", True)
    assert scored() == [] and reader.read_text() == before
    assert list(json.loads(before)) == ["rain"]


@pytest.mark.parametrize("value", [0, 1, -0.2, 70, math.nan])
def test_certainty_and_percentages_are_refused(reader, value):
    with pytest.raises(UsageError, match=r"probability in \[0.01, 0.99\], got .* write 0.7 for 70 %"):
        predict("rain", "It rains.", value)
    assert not reader.exists()


def test_a_place_that_cannot_be_written_stops_nothing(reader, monkeypatch, capsys):
    reader.write_text("a file, not a folder")
    unwritable = replace(predictions.PREDICTIONS, name=reader / "mine.json")
    monkeypatch.setattr(predictions, "PREDICTIONS", unwritable)
    predict("rain", "It rains.", 0.3)
    assert "your record of predictions is not saved: " in capsys.readouterr().out
