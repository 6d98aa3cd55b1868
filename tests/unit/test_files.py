"""Files from outside: what they hold as it should be, or a sentence that says where it is not."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from mutations import mutations

from greenai_nb.checks import UsageError
from greenai_nb.data.datasets import Provenance
from greenai_nb.files import read_as
from greenai_nb.lesson import project
from greenai_nb.lesson.claims import Claim
from greenai_nb.lesson.predictions import Prediction
from greenai_nb.lesson.records import Record
from greenai_nb.suite.sweep.grid import GridFile

Profile = dict[str, dict[str, Any]]
PROFILE = project.root() / "notebooks" / "profiles" / "ci.yaml"
CLAIMS = b"\n\n".join((project.root() / "claims.yaml").read_bytes().split(b"\n\n")[1:4])
RECORD = {"notebook": "01_a", "name": "n", "value": 1.5, "unit": "s", "provenance": "measured"}
WELL_FORMED = {
    "profile.yaml": (PROFILE.read_bytes(), Profile),
    "claims.yaml": (CLAIMS, list[Claim]),
    "records.jsonl": (json.dumps(RECORD | {"lo": 1.0, "parameters": {"n": [1]}}).encode(), Record),
    "predictions.json": (b'{"q": {"statement": "s", "probability": 0.6}}', dict[str, Prediction]),
    "provenance.json": (b'{"source": "s", "sha256": {"a": "b"}, "train": [1, 2]}', Provenance),
    "grid.yaml": (b"parameters: {n: [1, 2], rate: 'log(1,2,3)'}\nzip: [[n, rate]]\n", GridFile),
}


@pytest.mark.parametrize("name", WELL_FORMED)
def test_every_mutation_of_a_file_is_read_or_named_in_a_sentence(tmp_path, name):
    content, kind = WELL_FORMED[name]
    path = tmp_path / name
    read_as(path, kind, content)

    @settings(max_examples=1000)
    @given(mutations(content))
    def mutate(changed):
        try:
            found = read_as(path, kind, changed)
        except UsageError as error:
            assert name in str(error) and str(error).endswith(".")
        else:
            assert isinstance(found, kind if isinstance(kind, type) else kind.__origin__)

    mutate()


@pytest.mark.parametrize(
    ("name", "content", "kind", "said"),
    [
        ("a.yaml", "x: 1\ny: 2\nx: 3\n", dict, "line 3, .*'x' appears twice"),
        ("a.json", '{"x": 1, "x": 2}', dict, "'x' appears twice"),
        ("a.json", '{"x": 1,\n"y" 2}', dict, "line 2, is not JSON"),
        ("a.json", '{"x": NaN}', dict, "NaN is not a number"),
        ("a.yaml", "all:\n01_works: {n: 1}\n", Profile, "line 1, all: expected dict|object, got null"),
        ("a.yaml", "a:\n\tb: 1\n", Profile, "line 2, is not YAML"),
        ("a.yaml", "- 1\n", Profile, "expected object, got array"),
        ("a.yaml", b"\xe9: 1", Profile, "not text in UTF-8"),
        ("a.yaml", "a: &x {b: 1}\nc: *x\n", Profile, "alias"),
        ("a.yaml", "[" * 5000, Profile, "nested deeper"),
        ("a.json", "[" * 100_000, dict, "cannot be read"),
        ("a.yaml", "a: !!python/object:os.system 1", Profile, "tag"),
        ("a.yaml", "3", Profile, "expected object, got int"),
        ("a.yaml", "a: {b: 1}\n---\nc: 1", Profile, "line 2"),
        ("a.yaml", "- id: 1\n", list[Claim], r"line 1, 0\.id: expected str, got int"),
    ],
)
def test_a_fault_is_named_with_file_and_line(tmp_path, name, content, kind, said):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match=said) as error:
        read_as(tmp_path / name, kind)
    assert name in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            read_as(path, dict)


def test_numbers_are_those_that_people_mean(tmp_path):
    text = "a: 1e5\nb: -3\nc: .5\nd: 1_000\ne: 1.\nf: -.5e-3\ng: 2e-3\n"
    read = read_as(tmp_path / "n.yaml", dict[str, float], text.encode())
    assert list(read.values()) == [1e5, -3, 0.5, 1000, 1, -5e-4, 2e-3]
    odd = read_as(tmp_path / "n.yaml", dict, b"a: 1:30\nb: 010\nc: .nan\n")
    assert odd == {"a": "1:30", "b": "010", "c": ".nan"}, "no hours, no octal numbers"
