import itertools
import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from greenai_nb.checks import UsageError
from greenai_nb.lesson.parameters import SCALARS, declared, resolve
from greenai_nb.suite.sweep.grid import MAX_POINTS, alternatives, points, read_grid

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
        ("gain", "lin(-0.3,0.6,10)", [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
        ("gain", "lin(-3.9,3.9,79)", [i / 10 for i in range(-39, 40)]),
        ("rate", "lin( 1 , 0 , 3 )", [1.0, 0.5, 0.0]),
        ("rate", "log(1e-5,1e-2,4)", [1e-5, 1e-4, 1e-3, 1e-2]),
        ("rate", "log (1e-2,1e-4,3)", [1e-2, 1e-3, 1e-4]),
        ("rate", "log(0.5,0.5,1)", [0.5]),
        ("gain", "log(5e-324,1e308,2)", [5e-324, 1e308]),
        ("fast", "yes,no", [True, False]),
        ("fast", "false, true", [False, True]),
        ("name", "a, b ,c", ["a", "b", "c"]),
        ("name", '"a,b",c', ["a,b", "c"]),
        ("name", r'"say \"x\", y", ""', ['say "x", y', ""]),
        ("name", "007", ["007"]),
        ("name", "a\nb, c", ["a\nb", "c"]),
        ("rule", "by_layer,by_network", ["by_layer", "by_network"]),
        ("seeds", "0..4", [[0], [1], [2], [3], [4]]),
        ("seeds", "3,5", [[3], [5]]),
        ("seeds", "[0,1,2],[3,4,5]", [[0, 1, 2], [3, 4, 5]]),
        ("seeds", "7, [ 1, 2 ] , 8..9", [[7], [1, 2], [8], [9]]),
        ("rates", "log(0.01,1,3)", [[0.01], [0.1], [1.0]]),
        ("names", 'a,"b,c",["d,e", "f]"]', [["a"], ["b,c"], ["d,e", "f]"]]),
    ],
)
def test_a_text_asks_for_these_values(name, text, expected):
    values = read(name, text)
    assert values == expected
    items = list(itertools.chain(*values)) if PARAMETERS[name].items else values
    assert {type(item) for item in items} <= {SCALARS[PARAMETERS[name].kind]}


@pytest.mark.parametrize(
    ("name", "text", "given"),
    [
        ("width", "", "''"),
        ("width", "1,,2", "''"),
        ("name", "a,", "''"),
        ("seeds", "[0,1],", "''"),
        ("width", "lin(0,1,2", "'lin(0"),
        ("seeds", "[0,1", "[0"),
        ("seeds", "[0,]", "[0,]"),
        ("seeds", "[0..3]", "[0..3]"),
        ("seeds", "[" + "9" * 5000 + "]", "9999"),
        ("names", "[a]", "[a]"),
        ("name", '"a,b', '"a'),
        ("rate", "logg(1,2,3)", "'logg(1,2,3)'"),
        ("rate", "(1,2)", "'(1,2)'"),
        ("rate", "lin(0,1)", "'lin(0,1)'"),
        ("rate", "log(1,2,3,4)", "'log(1,2,3,4)'"),
        ("rate", "lin()", "'lin()'"),
        ("rate", "lin(0,x,3)", "'lin(0,x,3)'"),
        ("rate", "lin(0,1,3)x", "'lin(0,1,3)x'"),
        ("rate", "lin(0,inf,3)", "'lin(0,inf,3)'"),
        ("rate", "lin(nan,1,3)", "'lin(nan,1,3)'"),
        ("rate", "log(0,1,3)", "'log(0,1,3)'"),
        ("rate", "log(1,-1,3)", "'log(1,-1,3)'"),
        ("rate", "lin(0,1,2.5)", "'lin(0,1,2.5)'"),
        ("rate", "lin(0,1,0)", "'lin(0,1,0)'"),
        ("rate", "log(1,2,-3)", "'log(1,2,-3)'"),
        ("rate", "lin(0,1,1)", "'lin(0,1,1)'"),
        ("rate", "lin(0,1,1e12)", "'lin(0,1,1e12)'"),
        ("width", "9..0", "'9..0'"),
        ("width", "0..9..0", "'0..9..0'"),
        ("width", "9..0..-1", "'9..0..-1'"),
        ("width", "0..9..1..1", "'0..9..1..1'"),
        ("rate", "0..0.5", "'0..0.5'"),
        ("width", "..9", "'..9'"),
        ("width", "0..inf", "'0..inf'"),
        ("width", "0..a", "'0..a'"),
        ("width", "0..100000", "'0..100000'"),
        ("signed", "0..1e300", "'0..1e300'"),
        ("width", ",".join(["0..60000"] * 2), "120,002"),
        ("name", ",".join(map(str, range(MAX_POINTS + 1))), "100,001"),
        ("width", "1000,1e3", "1000 twice"),
        ("width", "5,0..9", "5 twice"),
        ("rate", "lin(1,1,2)", "1.0 twice"),
        ("seeds", "[1],0..3", "[1] twice"),
        ("fast", "yes,true", "True twice"),
        ("name", 'a,"a"', "'a' twice"),
        ("width", "-1", "-1"),
        ("width", "999999..1000001", "1000001"),
        ("width", "lin(0,1,3)", "0.5"),
        ("width", "[0,1]", "[0,1]"),
        ("width", '"3,4"', "3,4"),
        ("rate", "0.1 0.2", "0.1 0.2"),
        ("rate", "nan", "nan"),
        ("fast", "maybe", "maybe"),
        ("fast", "0..1", "0..1"),
        ("rule", "by_hand", "by_hand"),
        ("seeds", '["a"]', "['a']"),
    ],
    ids=lambda text: text[:30],
)
def test_a_text_that_cannot_be_read_is_refused(name, text, given):
    with pytest.raises(UsageError) as caught:
        read(name, text)
    assert f"parameter {name}" in str(caught.value) and given in str(caught.value)


def test_as_many_values_as_allowed_are_made():
    assert read("width", f"1..{MAX_POINTS}") == list(range(1, MAX_POINTS + 1))


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
    assert values == pytest.approx([first + i * step for i in range(count)], rel=1e-11, abs=1e-8)


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
        ({"width": "3"}, [{"width": 3}]),
        ({"seeds": "0,[1,2]"}, [{"seeds": [0]}, {"seeds": [1, 2]}]),
        ({"seed": "0..1"}, [{"seeds": [0]}, {"seeds": [1]}]),
    ],
)
def test_values_may_be_lists_and_single_ones(asked, expected):
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
        ({"widht": "1"}, [], "'widht'. Did you mean 'width'?"),
        ({"seed": "1", "seeds": "2"}, [], "seeds is asked for twice"),
        ({"width": "1,"}, [], "width"),
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


def as_text(values):
    return ",".join(map(json.dumps, values))


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
    found = ask({name: as_text(values) for name, values in asked.items()})
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
    signed = as_text(100 - width for width in widths)
    asked = {"width": as_text(widths), "gain": f"1..{others}", "signed": signed}
    found = ask(asked, [["width", "signed"]])
    assert len(found) == len(widths) * others
    assert all(point["signed"] == 100 - point["width"] for point in found)


def test_a_grid_file_asks_as_the_command_line_does(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(
        "parameters: {n: 0..2, rate: [0.1, 1e-3], names: [[a, b], [c]], one: 7}\nzip: [[n, m]]\n"
    )
    texts, groups = read_grid(path)
    assert texts == {"n": "0..2", "rate": "0.1,0.001", "names": '["a", "b"],["c"]', "one": "7"}
    assert groups == [["n", "m"]]


@pytest.mark.parametrize("content", ["[1]", "values: {}", "parameters: {n: {a: 1}}", "a: [", "\x00"])
def test_a_file_that_is_no_grid_is_said(tmp_path, content):
    (tmp_path / "grid.yaml").write_text(content)
    with pytest.raises(UsageError, match=r"grid\.yaml"):
        read_grid(tmp_path / "grid.yaml")
    with pytest.raises(UsageError, match=r"absent\.yaml"):
        read_grid(tmp_path / "absent.yaml")
