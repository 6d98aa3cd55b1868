import functools
import threading

import numpy as np
import pytest

from greenai_nb.show.freeze import freeze

scale = 2.0
table = {"a": [1, 2], "rules": {"double": lambda x: factor() * x}}
arrays = np.arange(3.0), np.ones(2)
lock = threading.Lock()
generator = np.random.default_rng(0)


def factor():
    return scale


@functools.cache
def cached(x):
    return x * scale


def logged(function):
    @functools.wraps(function)
    def inner(*args):
        return function(*args)

    return inner


@logged
def decorated(x):
    return x * scale


def odd(n):
    return n > 0 and even(n - 1)


def even(n):
    return n == 0 or odd(n - 1) or scale > 100


def made_in_a_function():
    offset = [5]

    def draw():
        return offset[0] + scale

    return draw, offset


class Reader:
    def __init__(self):
        self.own = [1]

    def read(self):
        return self.own[0]


def draws():
    """Functions that read the names above in every way a notebook's may."""
    return {
        "a name": lambda: scale,
        "a list in a dictionary": lambda: tuple(table["a"]),
        "a function": lambda: factor(),
        "a function in a dictionary": lambda: table["rules"]["double"](3),
        "a comprehension": lambda: [x * scale for x in table["a"]],
        "an array in a tuple": lambda: arrays[0].sum(),
        "a cache": lambda: cached(7),
        "a decorated function": lambda: decorated(2),
        "functions that call each other": lambda: even(3),
        "a default": lambda own=table["a"]: sum(own),
        "a keyword's default": lambda *, own=table["a"]: sum(own),
        "a partial": functools.partial(lambda x: x + scale, 1),
        "a list inside a partial": functools.partial(sum, table["a"]),
        "a generator": lambda: generator.bit_generator.state["state"]["state"],
    }


@pytest.mark.parametrize("name", draws())
def test_what_the_notebook_does_later_does_not_reach_a_frozen_function(name, monkeypatch):
    draw = draws()[name]
    frozen, before = freeze(draw), draw()
    monkeypatch.setitem(globals(), "scale", 1000.0)
    monkeypatch.setitem(table, "a", table["a"])
    table["a"].append(100)
    arrays[0][:] += 1
    state = generator.bit_generator.state
    generator.random()
    try:
        cached.cache_clear()
        assert draw() != before, "the change must be one that the function would see"
        assert frozen() == before
    finally:
        table["a"].pop()
        arrays[0][:] -= 1
        generator.bit_generator.state = state
        cached.cache_clear()


def test_a_closure_is_copied():
    draw, offset = made_in_a_function()
    frozen = freeze(draw)
    offset[0] = 50
    assert (draw(), frozen()) == (52, 7)


def test_a_method_keeps_its_own_object():
    reader = Reader()
    frozen = freeze(reader.read)
    reader.own[0] = 2
    assert (reader.read(), frozen()) == (2, 1)


def test_a_frozen_function_does_not_reach_the_notebook():
    def draw():
        global scale
        scale = scale + 1
        table["a"].append(3)
        return scale, len(table["a"])

    frozen = freeze(draw)
    assert frozen() == (3, 3) and frozen() == (4, 4)
    assert scale == 2 and table["a"] == [1, 2]


def test_one_object_under_two_names_stays_one():
    global alias
    alias = table["a"]

    def draw():
        return alias is table["a"]

    assert freeze(draw)()


def test_what_has_no_copy_and_what_belongs_to_a_package_stays_the_same():
    def draw():
        return lock, np, np.linalg.norm, Reader

    assert all(a is b for a, b in zip(draw(), freeze(draw)(), strict=True))


def test_a_missing_name_is_still_an_error_of_the_drawing():
    with pytest.raises(NameError, match="nowhere"):
        freeze(lambda: nowhere)()
