import threading

import pytest
import torch

from greenai_nb.data import datasets
from greenai_nb.show.freeze import freeze

# A notebook defines its names in a module called __main__, and so does a text that is run as one.
NOTEBOOK = """
import dataclasses
import functools

import matplotlib
import numpy as np
import torch

scale = 2.0
table = {"a": [1, 2], "rules": {"double": lambda x: factor() * x}}
arrays = np.arange(3.0), np.ones(2)
weights = torch.ones(3, requires_grad=True)
generator = np.random.default_rng(0)
P = dataclasses.make_dataclass("Parameters", ["goal"], frozen=True)(goal=0.9)


def factor():
    return scale


@functools.cache
def cached(x):
    return x * scale


@functools.lru_cache(maxsize=8)
def power(n):
    return scale if n == 1 else scale * power(n - 1)


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


class Reader:
    def __init__(self):
        self.own = [1]

    def read(self):
        return self.own[0]


reader = Reader()


def closure():
    offset = [5]

    def draw():
        return offset[0] + scale

    return draw


def change():
    global scale
    scale = 1000.0
    table["a"].append(100)
    arrays[0][:] += 1
    weights.data += 1
    generator.random()
    reader.own[0] = 2
    cached.cache_clear()
    power.cache_clear()


draws = {
    "a name": lambda: scale,
    "the parameters": lambda: P.goal * scale,
    "a list in a dictionary": lambda: tuple(table["a"]),
    "a function": lambda: factor(),
    "a function in a dictionary": lambda: table["rules"]["double"](3),
    "a comprehension": lambda: [x * scale for x in table["a"]],
    "an array in a tuple": lambda: arrays[0].sum(),
    "a tensor": lambda: weights.sum().item(),
    "a tensor in a graph": (lambda doubled: lambda: doubled.sum().item() * scale)(2 * weights),
    "a cache": lambda: cached(7),
    "a cache that calls itself": lambda: power(4),
    "a decorated function": lambda: decorated(2),
    "functions that call each other": lambda: even(3),
    "a default": lambda own=table["a"]: sum(own),
    "a keyword's default": lambda *, own=table["a"]: sum(own),
    "a partial": functools.partial(lambda x: x + scale, 1),
    "a list inside a partial": functools.partial(sum, table["a"]),
    "a generator": lambda: generator.bit_generator.state["state"]["state"],
    "a closure": closure(),
    "a method": reader.read,
    "a colour map and a name": lambda: (matplotlib.colormaps["viridis"](0.5), scale),
}
"""


def run(source):
    """The names that a notebook has after its cells have run."""
    names = {"__name__": "__main__"}
    exec(compile(source, "notebook", "exec"), names)
    return names


@pytest.mark.parametrize("name", run(NOTEBOOK)["draws"])
def test_what_the_notebook_does_later_does_not_reach_a_frozen_function(name):
    notebook = run(NOTEBOOK)
    draw = notebook["draws"][name]
    frozen, before = freeze(draw), draw()
    notebook["change"]()
    assert draw() != before, "the change must be one that the function would see"
    assert frozen() == before


def test_a_frozen_function_does_not_reach_the_notebook():
    notebook = run("""
scale, table = 2, {"a": [1, 2]}

def draw():
    global scale
    scale = scale + 1
    table["a"].append(3)
    return scale, len(table["a"])
""")
    frozen = freeze(notebook["draw"])
    assert frozen() == (3, 3) and frozen() == (4, 4)
    assert notebook["scale"] == 2 and notebook["table"] == {"a": [1, 2]}


def test_one_object_under_two_names_stays_one():
    notebook = run("table = {'a': [1]}\nalias = table['a']\ndraw = lambda: alias is table['a']")
    assert freeze(notebook["draw"])()


def test_functions_and_classes_keep_their_identity():
    notebook = run(
        "import numpy as np\nfrom greenai_nb.data.datasets import Split, load\nclass Reader: pass\n"
        "draw = lambda: (np, np.linalg.norm, Split, load, Reader)"
    )
    assert all(a is b for a, b in zip(notebook["draw"](), freeze(notebook["draw"])(), strict=True))


def test_objects_of_a_package_are_copied():
    notebook = run("draw = lambda: split.labels.tolist()")
    split = notebook["split"] = datasets.Split(torch.zeros(2, 1, 1, 1).byte(), torch.tensor([0, 1]))
    frozen = freeze(notebook["draw"])
    split.labels[0] = 9
    assert (notebook["draw"](), frozen()) == ([9, 1], [0, 1])


def test_a_function_that_reads_what_has_no_copy_is_left_as_it_is():
    notebook = run("draw = lambda: lock")
    notebook["lock"] = threading.Lock()
    assert freeze(notebook["draw"]) is notebook["draw"]


def test_a_missing_name_is_still_an_error_of_the_drawing():
    with pytest.raises(NameError, match="nowhere"):
        freeze(run("draw = lambda: nowhere")["draw"])()
