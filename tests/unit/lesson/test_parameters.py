import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenai_nb.checks import UsageError
from greenai_nb.lesson.parameters import declared, is_parameters_cell, parse_assignments, resolve

CELL = """\
seed: int = 0  # seed, in [0, 1_000]
mark: int = 0  # any whole number
rate: float = 0.1  # learning rate, in [1e-6, 10]
fast: bool = False  # whether to hurry
name: str = "007"  # a name
sizes: list[int] = [3, 4]  # sizes, in [1, 100]
rates: list[float] = [0.5]  # rates
rule: str = "by_layer"  # a rule, one of {"by_layer", "by_network"}
"""
PARAMETERS = declared(CELL)


def cast(name, value):
    return PARAMETERS[name].cast(value)


@pytest.mark.parametrize(
    ("name", "given_", "expected"),
    [
        ("fast", "true", True),
        ("fast", "false", False),
        ("fast", "0", False),
        ("fast", True, True),
        ("sizes", "[3,4]", [3, 4]),
        ("sizes", "3, 4", [3, 4]),
        ("sizes", "5", [5]),
        ("sizes", (3, 4), [3, 4]),
        ("sizes", [np.int64(3)], [3]),
        ("name", "007", "007"),
        ("seed", "007", 7),
        ("seed", "1e2", 100),
        ("seed", np.int64(5), 5),
        ("mark", "9007199254740993", 2**53 + 1),
        ("mark", "-1e3", -1000),
        ("rate", "1e-3", 1e-3),
        ("rate", 1, 1.0),
        ("rates", "[1e-3, 2]", [1e-3, 2.0]),
        ("rule", "by_network", "by_network"),
    ],
)
def test_values_become_what_the_annotation_says(name, given_, expected):
    value = cast(name, given_)
    assert value == expected and type(value) is type(expected)
    if isinstance(value, list):
        assert [type(item) for item in value] == [type(item) for item in expected]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("seed", "many", "expected an int in"),
        ("seed", 1.5, "expected an int in"),
        ("seed", True, "expected an int in"),
        ("seed", -1, r"in \[0, 1000\]"),
        ("rate", "fast", "expected a float"),
        ("rate", 0, "in "),
        ("rate", "nan", "in "),
        ("fast", "maybe", "expected a bool"),
        ("name", 7, "expected a str"),
        ("sizes", "[3, x]", r"expected a list\[int\]"),
        ("sizes", 3, r"expected a list\[int\]"),
        ("sizes", [3, 400], r"in \[1, 100\]"),
        ("rule", "by_hand", "one of 'by_layer', 'by_network'"),
    ],
)
def test_wrong_values_are_refused_with_what_was_expected(name, value, said):
    with pytest.raises(UsageError, match=f"parameter {name} is .*{said}"):
        cast(name, value)


@given(st.integers(0, 1000))
def test_integers_survive_the_command_line(value):
    assert cast("seed", str(value)) == value


@given(st.floats(1e-6, 10))
def test_floats_survive_the_command_line(value):
    assert cast("rate", repr(value)) == value


@given(st.lists(st.integers(1, 100), min_size=1))
def test_lists_survive_the_command_line(value):
    assert cast("sizes", ",".join(map(str, value))) == value


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match="has no parameter 'seeed'\\. Did you mean 'seed'"):
        resolve(PARAMETERS, {"seeed": 1}, "the notebook")


def test_defaults_are_kept_where_nothing_is_given():
    assert resolve(PARAMETERS, {"seed": "3"}, "x") == {
        "seed": 3,
        "mark": 0,
        "rate": 0.1,
        "fast": False,
        "name": "007",
        "sizes": [3, 4],
        "rates": [0.5],
        "rule": "by_layer",
    }


@pytest.mark.parametrize(
    "cell",
    [
        "seed: int = 2 * 3  # derived",
        "seed = 3  # no type",
        "seed: int = 3",
        "seed: int  # no value",
        "seed: complex = 1  # unknown type",
        "seed: int = 5  # out of its range, in [0, 3]",
        "import os",
    ],
)
def test_a_cell_that_is_not_annotated_literals_is_refused(cell):
    with pytest.raises(UsageError):
        declared(cell)


def test_a_parameters_cell_is_recognised():
    assert is_parameters_cell(CELL)
    assert (
        not is_parameters_cell("x = 1") and not is_parameters_cell("") and not is_parameters_cell("1 +")
    )


def test_assignments_are_split_at_the_first_equals_sign():
    assert parse_assignments(["a=1", "b = x=y"]) == {"a": "1", "b": "x=y"}
    with pytest.raises(UsageError, match="name=value"):
        parse_assignments(["a"])
