import itertools
import json
import math
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from greenai_nb.checks import UsageError
from greenai_nb.lesson.parameters import SCALARS, declared, resolve
from greenai_nb.suite.sweep import grid
from greenai_nb.suite.sweep.grid import LARGEST, alternatives, points, read_grid

PARAMETERS = declared(
    """\
width: int = 7  # neurons, in [0, 1_000_000]
signed: int = 0  # any whole number
rate: float = 0.1  # learning rate, in [0, 10]
gain: float = 1.0  # any number
fast: bool = False  # whether to hurry
name: str = "a"  # a name
rule: str = "by_layer"  # a rule, one of {"by_layer", "by_network"}
seeds: list[int] = [0, 1]  # seeds, in [0, 1_000_000]
rates: list[float] = [0.5]  # rates
names: list[str] = ["a"]  # names
"""
)
CODE = ["__import__('os').system('touch hacked')", "().__class__", "exec('1')", "1+1", "{rate}", "2**9"]


def read(name, text):
    return alternatives(PARAMETERS[name], text)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("width", "5", [5]),
        ("width", "1e3,1e4,1e5", [1000, 10_000, 100_000]),
        ("width", " 3 ,\n 4 ", [3, 4]),
        ("width", "0..3", [0, 1, 2, 3]),
        ("width", "4..4", [4]),
        ("width", "0..10..4", [0, 4, 8]),
        ("width", "1e3..3e3..1e3", [1000, 2000, 3000]),
        ("width", "7, 1..2, lin(10,20,2), log(100,1000,2)", [7, 1, 2, 10, 20, 100, 1000]),
        ("width", "log(1,1000,4)", [1, 10, 100, 1000]),
        ("width", "lin(0,49,50)", list(range(50))),
        ("width", "lin(3,3,1)", [3]),
        ("signed", "-2..1", [-2, -1, 0, 1]),
        ("signed", "-3,-5", [-3, -5]),
        ("rate", "0..2", [0.0, 1.0, 2.0]),
        ("rate", "lin(0,1,5)", [0.0, 0.25, 0.5, 0.75, 1.0]),
        ("rate", "lin(0,0.3,4)", [0.0, 0.1, 0.2, 0.3]),
        ("rate", "lin( 1 , 0 , 3 )", [1.0, 0.5, 0.0]),
        ("rate", "log(1e-5,1e-2,4)", [1e-5, 1e-4, 1e-3, 1e-2]),
        ("rate", "log (1e-2,1e-4,3)", [1e-2, 1e-3, 1e-4]),
        ("rate", "log(0.5,0.5,1)", [0.5]),
        ("gain", "lin(-1e308,1e308,3)", [-1e308, 0.0, 1e308]),
        ("gain", "log(5e-324,1e308,2)", [5e-324, 1e308]),
        ("fast", "yes,no", [True, False]),
        ("fast", "false, true", [False, True]),
        ("name", "a, b ,c", ["a", "b", "c"]),
        ("name", '"a,b",c', ["a,b", "c"]),
        ("name", r'"say \"x\", y", ""', ['say "x", y', ""]),
        ("name", "0..9,lin(0", ["0..9", "lin(0"]),
        ("name", "[1,2]", ["[1", "2]"]),
        ("name", "007", ["007"]),
        ("name", "a\nb, c", ["a\nb", "c"]),
        ("rule", "by_layer,by_network", ["by_layer", "by_network"]),
        ("seeds", "0..4", [[0], [1], [2], [3], [4]]),
        ("seeds", "3,5", [[3], [5]]),
        ("seeds", "[0,1,2],[3,4,5]", [[0, 1, 2], [3, 4, 5]]),
        ("seeds", "7, [ 1, 2 ] , 8..9", [[7], [1, 2], [8], [9]]),
        ("seeds", "[]", [[]]),
        ("rates", "log(0.01,1,3)", [[0.01], [0.1], [1.0]]),
        ("names", 'a,"b,c",["d,e", "f]"]', [["a"], ["b,c"], ["d,e", "f]"]]),
        ("names", "f(x,y)", [["f(x"], ["y)"]]),
    ],
)
def test_a_text_asks_for_these_values(name, text, expected):
    values = read(name, text)
    assert values == expected
    items = list(itertools.chain(*values)) if PARAMETERS[name].items else values
    assert {type(item) for item in items} <= {SCALARS[PARAMETERS[name].kind]}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("width", "", "parameter width: a value is empty"),
        ("width", "  ", "a value is empty"),
        ("width", "1,,2", "a value is empty"),
        ("width", "1,", "a value is empty"),
        ("name", "a,,b", "a value is empty"),
        ("seeds", "[0,1],", "a value is empty"),
        ("width", "lin(0,1,2", "brackets are not balanced"),
        ("width", "lin 0,1,2)", "brackets are not balanced"),
        ("width", "lin(0,1],2", "brackets are not balanced"),
        ("width", "lin((0),1,2)", "within brackets"),
        ("seeds", "[0,1", "brackets are not balanced"),
        ("seeds", "[[0,1]]", "within brackets"),
        ("seeds", "[" * 100_000, "within brackets"),
        ("seeds", "0]", "brackets are not balanced"),
        ("seeds", "[0,]", "is not JSON"),
        ("seeds", "[0..3]", "is not JSON"),
        ("seeds", "[" + "9" * 5000 + "]", "is not JSON"),
        ("names", "[" + '{"a":' * 100_000 + "]", "is not JSON"),
        ("names", "[a]", "is not JSON"),
        ("name", '"a,b', "is not JSON"),
        ("name", 'a"b"', "is not JSON"),
        ("rate", "logg(1,2,3)", "no function 'logg'. Did you mean 'log'?"),
        ("rate", "sqrt(1)", "no function 'sqrt'. There are: lin, log."),
        ("rate", "(1,2)", "no function ''"),
        ("rate", "lin(0,1)", "needs 3 arguments, lin(first,last,count), and has 2"),
        ("rate", "log(1,2,3,4)", "and has 4"),
        ("rate", "lin()", "and has 1"),
        ("rate", "lin(0,x,3)", "not a number"),
        ("rate", "lin(0,1,3)x", "not a number"),
        ("rate", "lin(0,,3)", "not a number"),
        ("rate", "lin(0,inf,3)", "not a number"),
        ("rate", "lin(0,nan,3)", "not a number"),
        ("rate", "log(0,1,3)", "not positive"),
        ("rate", "log(1,-1,3)", "not positive"),
        ("rate", "lin(0,1,2.5)", "whole count"),
        ("rate", "lin(0,1,0)", "whole count"),
        ("rate", "log(1,2,-3)", "whole count"),
        ("rate", "lin(0,1,1)", "whole count"),
        ("width", "9..0", "9..0 runs backwards"),
        ("width", "0..9..0", "a step of at least 1"),
        ("width", "9..0..-1", "a step of at least 1"),
        ("width", "0..9..1..1", "not first..last..step"),
        ("rate", "0..0.5", "not a whole number"),
        ("width", "..9", "not a number"),
        ("width", "0...9", "not a whole number"),
        ("width", "0..inf", "not a number"),
        ("width", "0..a", "not a number"),
        ("width", "0..100000", "100,001 values are asked for, at most 100,000"),
        ("signed", "0..1e300", "values are asked for, at most 100,000"),
        ("rate", "lin(0,1,1e5),lin(0,1,1e9)", "1,000,000,000 values are asked for"),
        ("width", ",".join(["0..60000"] * 9), "120,002 values are asked for"),
        ("name", ",".join(map(str, range(LARGEST + 1))), "100,001 values are asked for"),
        ("width", "1000,1e3", "parameter width has the value 1000 twice"),
        ("width", "5,0..9", "has the value 5 twice"),
        ("rate", "lin(1,1,2)", "has the value 1.0 twice"),
        ("seeds", "[1],0..3", "has the value [1] twice"),
        ("fast", "yes,true", "has the value True twice"),
        ("name", 'a,"a"', "has the value 'a' twice"),
        ("width", "-1", "parameter width is -1, expected an int in [0, 1e+06]"),
        ("width", "999999..1000001", "parameter width is 1000001, expected"),
        ("width", "lin(0,1,3)", "parameter width is 0.5, expected an int"),
        ("width", "log(1,10,3)", "expected an int"),
        ("width", "[0,1]", "expected an int"),
        ("width", '"3,4"', "expected an int"),
        ("rate", "0.1 0.2", "expected a float"),
        ("rate", "nan", "expected a float"),
        ("fast", "maybe", "expected a bool"),
        ("fast", "0..1", "expected a bool"),
        ("rule", "by_hand", "one of 'by_layer', 'by_network'"),
        ("seeds", '["a"]', "expected a list[int]"),
        ("seeds", "[" + "9" * 400 + "]", "expected a list"),
    ],
    ids=lambda text: text[:30],
)
def test_a_text_that_cannot_be_read_is_refused(name, text, said):
    with pytest.raises(UsageError) as caught:
        read(name, text)
    assert said in str(caught.value) and PARAMETERS[name].name in str(caught.value)


def test_many_values_are_refused_before_they_are_made(monkeypatch):
    monkeypatch.setattr(grid, "range", lambda *ends: pytest.fail(f"made {ends}"), raising=False)
    for text in ("0..1e18", "0..100000", "lin(0,1,1e12)", "log(1,2,1e12)"):
        with pytest.raises(UsageError, match="values are asked for"):
            read("rate", text)


def test_as_many_values_as_allowed_are_made():
    assert read("width", f"1..{LARGEST}") == list(range(1, LARGEST + 1))


@given(st.integers(-10_000, 10_000), st.integers(0, 300), st.integers(1, 50))
def test_a_range_has_what_python_has_in_it(first, length, step):
    last = first + length
    assert read("signed", f"{first}..{last}") == list(range(first, last + 1))
    assert read("signed", f"{first}..{last}..{step}") == list(range(first, last + 1, step))


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.integers(2, 60))
def test_linear_spacing_is_even_and_keeps_its_ends(first, last, count):
    if abs(first - last) < 1e-3:
        return
    values = read("gain", f"lin({first!r},{last!r},{count})")
    assert (values[0], values[-1], len(values)) == (first, last, count)
    step = (last - first) / (count - 1)
    assert values == pytest.approx([first + i * step for i in range(count)], abs=1e-8)


@given(st.floats(1e-300, 1e300), st.floats(1e-300, 1e300), st.integers(2, 60))
def test_geometric_spacing_has_one_ratio_and_keeps_its_ends(first, last, count):
    if abs(math.log(first) - math.log(last)) < 1e-3:
        return
    values = read("gain", f"log({first!r},{last!r},{count})")
    assert (values[0], values[-1], len(values)) == (first, last, count)
    ratios = [math.log(b) - math.log(a) for a, b in itertools.pairwise(values)]
    assert ratios == pytest.approx([ratios[0]] * len(ratios), rel=1e-6, abs=1e-12)


@given(st.lists(st.integers(0, 1_000_000), min_size=1, unique=True))
def test_whole_numbers_survive_the_text(values):
    assert read("width", ",".join(map(str, values))) == values
    assert read("seeds", ",".join(map(str, values))) == [[value] for value in values]


@given(st.lists(st.text(), min_size=1, unique=True))
def test_texts_survive_as_json_strings(values):
    assert read("name", ",".join(map(json.dumps, values))) == values
    assert read("names", ",".join(map(json.dumps, values))) == [[value] for value in values]


@given(
    st.sampled_from(sorted(PARAMETERS)),
    st.text(alphabet="0123456789.,()[]\"\\'elinog -+_\n", max_size=30),
)
@example("width", "1_0..1_2")
@example("rate", "lin(,,)")
@example("rate", "log(1e-999999999999999999999,1,3)")
@example("signed", "1e308..1e308")
def test_any_text_is_read_or_refused_and_what_is_read_fits(name, text):
    try:
        values = read(name, text)
    except UsageError:
        return
    assert values and all(PARAMETERS[name].cast(value) == value for value in values)


@pytest.mark.parametrize("text", CODE)
def test_code_is_never_run(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read("name", text) == [text]
    assert read("names", text) == [[text]]
    for name in ("width", "rate", "fast", "seeds", "rule"):
        for code in (text, f"lin(0,{text},2)", f"0..{text}", f"[{text}]"):
            with pytest.raises(UsageError):
                read(name, code)
    assert not list(tmp_path.iterdir())


def ask(asked, zipped=()):
    return points(PARAMETERS, asked, zipped)


def test_points_are_all_combinations_and_the_last_name_varies_fastest():
    assert ask({"width": "1,2", "fast": "no,yes"}) == [
        {"width": 1, "fast": False},
        {"width": 1, "fast": True},
        {"width": 2, "fast": False},
        {"width": 2, "fast": True},
    ]


def test_zipped_names_move_together_where_the_first_of_them_stands():
    found = ask({"width": "1,2", "fast": "no,yes", "rate": "3,4"}, [["rate", "width"]])
    assert found == [
        {"width": 1, "fast": False, "rate": 3.0},
        {"width": 1, "fast": True, "rate": 3.0},
        {"width": 2, "fast": False, "rate": 4.0},
        {"width": 2, "fast": True, "rate": 4.0},
    ]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, [{}]),
        ({"width": 3}, [{"width": 3}]),
        ({"width": [3, "1e1"]}, [{"width": 3}, {"width": 10}]),
        ({"fast": True}, [{"fast": True}]),
        ({"name": ["a,b", "c"]}, [{"name": "a,b"}, {"name": "c"}]),
        ({"seeds": 3}, [{"seeds": [3]}]),
        ({"seeds": [0, [1, 2]]}, [{"seeds": [0]}, {"seeds": [1, 2]}]),
        ({"names": ["a,b"]}, [{"names": ["a,b"]}]),
        ({"seed": "0..1"}, [{"seeds": [0]}, {"seeds": [1]}]),
    ],
)
def test_values_may_be_lists_and_numbers(asked, expected):
    assert ask(asked) == expected


def test_seed_is_itself_where_there_is_one():
    both = declared("seed: int = 0  # a seed\nseeds: list[int] = [0]  # seeds")
    assert points(both, {"seed": "1"}) == [{"seed": 1}]
    scalar = declared("seeds: int = 0  # no list")
    with pytest.raises(UsageError, match=r"no parameter 'seed'\. Did you mean 'seeds'"):
        points(scalar, {"seed": "1"})


def test_seed_may_be_zipped():
    assert ask({"seed": "0,1", "width": "2,3"}, [["seed", "width"]]) == [
        {"seeds": [0], "width": 2},
        {"seeds": [1], "width": 3},
    ]


@pytest.mark.parametrize(
    ("asked", "zipped", "said"),
    [
        ({"widht": "1"}, [], "no parameter 'widht'. Did you mean 'width'?"),
        ({"seed": "1", "seeds": "2"}, [], "parameter seeds is asked for twice"),
        ({"width": []}, [], "parameter width is asked for and given no value"),
        ({"width": [1, 1]}, [], "has the value 1 twice"),
        ({"width": [10**400]}, [], "expected an int"),
        ({"width": None}, [], "expected an int"),
        ({"width": "1,"}, [], "a value is empty"),
        ({"width": "1,2", "rate": "1"}, [["width", "rate"]], "width has 2, rate has 1"),
        ({"width": "1"}, [["width", "rate"]], "'rate' is zipped but not asked for"),
        ({"width": "1"}, [["widht"]], "Did you mean 'width'?"),
        ({"width": "1"}, [["width", "width"]], "parameter width is zipped twice"),
        (
            {"width": "1", "rate": "1", "gain": "1"},
            [["width", "rate"], ["gain", "rate"]],
            "parameter rate is zipped twice",
        ),
        (
            {"width": "1..1000", "rate": "lin(0,1,101)"},
            [],
            "the sweep has 101,000 points, at most 100,000",
        ),
        ({"seed": "0,1", "seeds": "1"}, [["seed"]], "asked for twice"),
    ],
)
def test_grids_that_do_not_fit_are_refused(asked, zipped, said):
    with pytest.raises(UsageError) as caught:
        ask(asked, zipped)
    assert said in str(caught.value)


def test_zipped_names_count_once_towards_the_largest_sweep():
    found = ask({"width": "1..1000", "signed": "1..1000"}, [["width", "signed"]])
    assert [(point["width"], point["signed"]) for point in found] == [(i, i) for i in range(1, 1001)]


WHOLE_GRIDS = st.fixed_dictionaries(
    {},
    optional={
        "width": st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True),
        "rate": st.lists(st.floats(0, 10), min_size=1, max_size=4, unique=True),
        "fast": st.lists(st.booleans(), min_size=1, unique=True),
        "name": st.lists(st.text(), min_size=1, max_size=3, unique=True),
        "seeds": st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True),
    },
)


@given(WHOLE_GRIDS)
def test_points_are_the_product_and_each_resolves(asked):
    found = ask(asked)
    assert len(found) == math.prod(map(len, asked.values()))
    assert len({repr(point) for point in found}) == len(found)
    for point in found:
        assert list(point) == list(asked)
        effective = resolve(PARAMETERS, point, "here")
        assert {name: effective[name] for name in point} == point
    rows = itertools.product(*asked.values())
    alone = [{**point, "seeds": point["seeds"][0]} if "seeds" in point else point for point in found]
    assert [tuple(point.values()) for point in alone] == list(rows)


@given(st.lists(st.integers(0, 99), min_size=1, max_size=6, unique=True), st.integers(1, 4))
def test_a_zipped_pair_is_a_pair_at_every_point(widths, others):
    asked = {"width": widths, "gain": f"1..{others}", "signed": [100 - width for width in widths]}
    found = ask(asked, [["width", "signed"]])
    assert len(found) == len(widths) * others
    assert all(point["signed"] == 100 - point["width"] for point in found)


def written(tmp_path, text) -> Path:
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    return path


def test_a_file_holds_texts_numbers_and_lists(tmp_path):
    text = """\
parameters:
  rate: 1e-3
  width: 3
  gain: log(1e-5,1e-3,3)
  seeds: 0..1
  name: ["a,b", c]
  fast: yes
zip: [[gain, name]]
"""
    asked, zipped = read_grid(written(tmp_path, text))
    assert asked == {
        "rate": "1e-3",
        "width": 3,
        "gain": "log(1e-5,1e-3,3)",
        "seeds": "0..1",
        "name": ["a,b", "c"],
        "fast": True,
    }
    assert zipped == [["gain", "name"]]
    with pytest.raises(UsageError, match="gain has 3, name has 2"):
        ask(asked, zipped)
    assert ask({**asked, "gain": "1,2"}, zipped)[1] == {
        "rate": 0.001,
        "width": 3,
        "gain": 1.0,
        "seeds": [1],
        "name": "a,b",
        "fast": True,
    }


def test_a_file_needs_no_zip(tmp_path):
    assert read_grid(written(tmp_path, "parameters: {width: 3}")) == ({"width": 3}, [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "needs a key parameters"),
        ("- 1", "needs a key parameters"),
        ("zip: []", "needs a key parameters"),
        ("parameters: [width]", "needs a key parameters"),
        ("parameters:", "needs a key parameters"),
        ("parameters: {}\nzipp: []", "unknown key 'zipp'. Did you mean 'zip'?"),
        ("parameters: {}\n3: []", "unknown key 3"),
        ("parameters: {3: 4}", "not 3: 4"),
        ("parameters: {width: {a: 1}}", "a text, a number or a list, not width"),
        ("parameters: {width: }", "not width: None"),
        ("parameters: {width: 2020-01-01}", "not width: 2020-01-01"),
        ("parameters: {}\nzip: width", "lists of names under zip"),
        ("parameters: {}\nzip: [width]", "lists of names under zip"),
        ("parameters: {}\nzip: [[1]]", "lists of names under zip"),
        ("parameters: {}\nzip:", "lists of names under zip"),
        ("parameters: {width: 1, width: 2}", "the key width twice"),
        ("parameters: {width: [", "cannot be read as YAML"),
        ("parameters: {width: 2020-99-99}", "cannot be read as YAML"),
        ("parameters: !!python/object/apply:os.getcwd []", "cannot be read as YAML"),
        ("[" * 10_000, "cannot be read as YAML"),
    ],
    ids=lambda text: text[:40],
)
def test_a_file_that_says_something_else_is_refused(tmp_path, text, said):
    with pytest.raises(UsageError) as caught:
        read_grid(written(tmp_path, text))
    assert said in str(caught.value) and "grid.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "missing.yaml", tmp_path, binary):
        with pytest.raises(UsageError, match="cannot be read as YAML"):
            read_grid(path)
