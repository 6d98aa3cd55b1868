"""Trainings remembered: when one is shared, when not, and what a broken store costs."""

import dataclasses
import json
import multiprocessing
import os
import stat
import time

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mutations import mutations
from torch import nn

from greenai_nb import machine
from greenai_nb.data.datasets import Split
from greenai_nb.learn import store
from greenai_nb.learn.fast.chain import ChainSettings, fit_accept_reject
from greenai_nb.learn.initial_weights import start_sparse
from greenai_nb.learn.sgd import fit_sgd
from greenai_nb.nets.architectures import mlp
from greenai_nb.nets.binary import BinaryLinear
from greenai_nb.nets.sign import identity_sign

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(store.FOLDER_VARIABLE, str(tmp_path / "trainings"))
    return tmp_path / "trainings"


def perceptron(seed=0):
    torch.manual_seed(seed)
    return mlp(16, 5, 3)


def by_sgd(data, net=None, **given):
    return fit_sgd(net or perceptron(), data, **{"epochs": 1, **given})


def by_chain(data, net=None, **given):
    return fit_accept_reject(net or start_sparse(mlp(16, 6, 3)), data, **{"proposals": 320, **given})


def same(one, other):
    weights = zip(one.net.state_dict().values(), other.net.state_dict().values(), strict=True)
    assert all(torch.equal(left, right) for left, right in weights)
    pd.testing.assert_frame_equal(one.trace, other.trace)
    pd.testing.assert_frame_equal(one.moves, other.moves, check_dtype=False)
    assert json.dumps(dict(one.settings)) == json.dumps(dict(other.settings))


@pytest.mark.parametrize("train", [by_sgd, by_chain])
def test_the_second_time_is_the_first_with_its_seconds(home, tiny_data, train):
    first, again = train(tiny_data), train(tiny_data)
    assert (first.remembered, again.remembered) == (False, True)
    same(first, again)
    assert not again.net.training and len(list(home.glob("*.npz"))) == 1
    assert not list(home.glob("*.lock"))


@pytest.mark.parametrize("train", [by_sgd, by_chain])
def test_a_remembered_network_is_a_copy(home, tiny_data, train):
    net = perceptron() if train is by_sgd else start_sparse(mlp(16, 6, 3))
    train(tiny_data, net)
    again = train(tiny_data, net)
    before = net[1].weight.detach().clone()
    again.net[1].weight.data.zero_()
    assert torch.equal(net[1].weight, before) and not torch.equal(
        train(tiny_data, net).net[1].weight, before * 0
    )


def other_images(data):
    images = data.train.images.clone()
    images[0, 0, 0, 0] += 1
    return dataclasses.replace(data, train=Split(images, data.train.labels))


def other_validation(data):
    labels = data.validation.labels.clone()
    labels[0] = (labels[0] + 1) % 3
    return dataclasses.replace(data, validation=Split(data.validation.images, labels))


@pytest.mark.parametrize(
    "changed",
    [
        lambda data: by_sgd(other_images(data)),
        lambda data: by_sgd(other_validation(data)),
        lambda data: by_sgd(data, perceptron(1)),
        lambda data: by_sgd(data, seed=1),
        lambda data: by_sgd(data, learning_rate=0.2),
        lambda data: by_sgd(data, nn.Sequential(*perceptron(), nn.Identity())),
    ],
    ids=["images", "validation", "start", "seed", "setting", "architecture"],
)
def test_what_determines_a_training_tells_it_from_another(home, tiny_data, changed):
    by_sgd(tiny_data)
    assert not changed(tiny_data).remembered


def test_chains_differ_by_their_settings_and_defaults_are_settings_too(home, tiny_data):
    by_chain(tiny_data)
    assert not by_chain(tiny_data, settings=ChainSettings(scale=0.1)).remembered
    assert not by_chain(tiny_data, evaluations=5).remembered
    assert by_chain(tiny_data, evaluations=10).remembered and by_chain(tiny_data, seed=0).remembered


def test_layers_differ_by_the_functions_that_they_hold(home, tiny_data):
    def binary(**given):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), BinaryLinear(16, 8, **given), nn.ReLU(), nn.Linear(8, 3))

    by_sgd(tiny_data, binary())
    assert not by_sgd(tiny_data, binary(kernel_quantizer=identity_sign)).remembered
    assert by_sgd(tiny_data, binary(kernel_quantizer=identity_sign)).remembered


def test_functions_and_layers_of_a_notebook_are_never_remembered(home, tiny_data):
    """What they read from around them has no part in a key."""
    factor = 1.0

    class Times(nn.Module):
        def forward(self, x):
            return factor * x

    def signs():
        torch.manual_seed(0)
        layer = BinaryLinear(16, 8, kernel_quantizer=lambda w: factor * identity_sign(w))
        return nn.Sequential(nn.Flatten(), layer, nn.ReLU(), nn.Linear(8, 3))

    for make in (signs, lambda: nn.Sequential(*perceptron(), Times())):
        first = by_sgd(tiny_data, make())
        factor = 3.0
        again = by_sgd(tiny_data, make())
        assert not again.remembered and not torch.equal(first.net[1].weight, again.net[1].weight)
        factor = 1.0


def test_frozen_weights_and_hooks_count(home, tiny_data):
    by_sgd(tiny_data)
    frozen = perceptron()
    frozen[1].weight.requires_grad_(False)
    fit = by_sgd(tiny_data, frozen)
    assert not fit.remembered and torch.equal(fit.net[1].weight, frozen[1].weight)
    again = by_sgd(tiny_data, frozen)
    assert again.remembered and torch.equal(again.net[1].weight, frozen[1].weight)
    hooked = perceptron()
    hooked[2].register_forward_hook(lambda layer, x, y: 2 * y)
    assert not by_sgd(tiny_data, hooked).remembered


def test_settings_from_numpy_are_kept(home, tiny_data):
    whole = {"epochs": np.int64(1)}
    assert [by_sgd(tiny_data, **whole).remembered for _ in range(2)] == [False, True]
    assert [by_chain(tiny_data, seed=np.int64(1)).remembered for _ in range(2)] == [False, True]


def test_the_source_and_the_number_of_threads_count(home, tiny_data, monkeypatch):
    by_sgd(tiny_data)
    torch.set_num_threads(2)
    assert not by_sgd(tiny_data).remembered
    torch.set_num_threads(1)
    assert by_sgd(tiny_data).remembered
    monkeypatch.setattr(store, "digest", lambda *modules: "another source")
    assert not by_sgd(tiny_data).remembered


@pytest.mark.parametrize("name", ["processor", "instructions", "torch", "numpy", "numba"])
def test_what_computes_counts(home, tiny_data, monkeypatch, name):
    by_sgd(tiny_data)
    monkeypatch.setattr(store, "card", lambda: machine.card() | {name: "another"})
    assert not by_sgd(tiny_data).remembered


def test_torchs_default_type_counts(home, tiny_data):
    by_sgd(tiny_data, net := perceptron())
    torch.set_default_dtype(torch.float64)
    try:
        key = store._key(by_sgd, {"net": net})
    finally:
        torch.set_default_dtype(torch.float32)
    assert store._key(by_sgd, {"net": net}) != key


PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
VALUES = st.recursive(
    PLAIN,
    lambda held: st.lists(held, max_size=3) | st.dictionaries(st.text(max_size=3), held, max_size=3),
)


@given(VALUES, VALUES)
@example([["a"], ["b"]], [["a", ["b"]]])
@example({"a": [], "b": 1}, {"a": ["b", 1]})
def test_values_share_a_key_only_where_they_are_equal(one, other):
    keys = [store._key(perceptron, {"value": value}) for value in (one, other, one)]
    texts = [json.dumps(value, sort_keys=True) for value in (one, other)]
    assert keys[0] == keys[2] and (keys[0] == keys[1]) == (texts[0] == texts[1])


def test_a_copy_of_the_package_with_a_changed_trainer_has_another_digest(tmp_path):
    import shutil

    from greenai_nb import sources

    copied = tmp_path / "greenai_nb"
    shutil.copytree(sources.PACKAGE, copied, ignore=shutil.ignore_patterns("__pycache__", "*.gz"))
    name = "greenai_nb.learn.sgd"
    before = sources.digest(name, package=copied)
    assert before == sources.digest(name)
    sign = copied / "nets" / "sign.py"
    sign.write_text(sign.read_text() + "\n# changed\n")
    assert sources.digest(name, package=copied) != before
    lines = copied / "show" / "lines.py"
    middle = sources.digest(name, package=copied)
    lines.write_text(lines.read_text() + "\n# changed\n")
    assert sources.digest(name, package=copied) == middle


def test_what_cannot_be_told_apart_is_trained_and_not_kept(home, tiny_data):
    net = perceptron()
    net.extra = object()
    assert not by_sgd(tiny_data, net).remembered and not by_sgd(tiny_data, net).remembered
    assert not list(home.glob("*.npz"))


def test_only_trainings_since_a_moment_count(home, tiny_data, monkeypatch):
    by_sgd(tiny_data)
    monkeypatch.setenv(store.SINCE_VARIABLE, str(time.time()))
    assert not by_sgd(tiny_data).remembered
    assert by_sgd(tiny_data).remembered


@pytest.mark.parametrize("content", [b"", b"half", "cut", "foreign"])
def test_a_damaged_or_foreign_file_is_left_aside_with_a_word(home, tiny_data, content):
    first = by_sgd(tiny_data)
    (path,) = home.glob("*.npz")
    if content == "cut":
        path.write_bytes(path.read_bytes()[:-30])
    elif content == "foreign":
        by_sgd(tiny_data, seed=1)
        (other,) = set(home.glob("*.npz")) - {path}
        other.replace(path)
    else:
        path.write_bytes(content)
    with pytest.warns(UserWarning, match="damaged"):
        again = by_sgd(tiny_data)
    assert not again.remembered and path.with_suffix(".damaged").is_file()
    assert torch.equal(first.net[1].weight, again.net[1].weight)
    assert by_sgd(tiny_data).remembered


@pytest.mark.filterwarnings("ignore:a training that was kept cannot be read")
@pytest.mark.parametrize("train", [by_sgd, by_chain])
def test_any_damage_to_a_training_is_found_or_changes_nothing(home, tiny_data, train):
    first = train(tiny_data)
    (path,) = home.glob("*.npz")

    @settings(max_examples=1000)
    @given(mutations(path.read_bytes()))
    def damage(content):
        path.write_bytes(content)
        found = store._read(path, first.net)
        if found is not None:
            same(found, first)

    damage()


def test_nothing_is_pickled(home, tiny_data):
    by_chain(tiny_data)
    (path,) = home.glob("*.npz")
    with np.load(path, allow_pickle=False) as found:
        assert all(found[name].dtype != object for name in found.files)


def test_a_store_that_cannot_be_written_costs_a_word(home, tiny_data, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "write_atomic", full)
    with pytest.warns(UserWarning, match="No space left"):
        assert not by_sgd(tiny_data).remembered
    monkeypatch.undo()
    home.parent.joinpath("file").write_text("")
    monkeypatch.setenv(store.FOLDER_VARIABLE, str(home.parent / "file" / "trainings"))
    with pytest.warns(UserWarning, match="cannot be kept"):
        assert len(by_sgd(tiny_data).trace) == 1


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_may_only_be_read_still_remembers(home, tiny_data):
    by_sgd(tiny_data)
    home.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert by_sgd(tiny_data).remembered
    finally:
        home.chmod(stat.S_IRWXU)


def test_what_an_interrupt_cut_short_is_not_kept(home, tiny_data, monkeypatch):
    from greenai_nb.learn import sgd

    told = iter([0.5])

    def interrupted(net, split):
        try:
            return next(told)
        except StopIteration:
            raise KeyboardInterrupt from None

    with monkeypatch.context() as patched, pytest.warns(UserWarning, match="interrupted"):
        patched.setattr(sgd, "accuracy", interrupted)
        assert by_sgd(tiny_data, epochs=3).interrupted
    assert not by_sgd(tiny_data, epochs=3).remembered


def test_off_remembers_nothing(tiny_data, monkeypatch):
    monkeypatch.setenv(store.FOLDER_VARIABLE, store.OFF)
    assert store.folder() is None
    by_sgd(tiny_data)
    assert not by_sgd(tiny_data).remembered


def train_elsewhere(data, ends):
    torch.set_num_threads(1)
    ends.put(by_sgd(data, epochs=200).remembered)


def test_two_that_want_the_same_train_once(home, tiny_data):
    spawn = multiprocessing.get_context("fork" if os.name != "nt" else "spawn")
    ends = spawn.Queue()
    both = [spawn.Process(target=train_elsewhere, args=(tiny_data, ends)) for _ in range(2)]
    for each in both:
        each.start()
    assert sorted(ends.get(timeout=60) for _ in both) == [False, True]
    for each in both:
        each.join()


def test_what_nobody_asked_for_in_a_month_is_forgotten(home, tiny_data):
    by_sgd(tiny_data)
    (old,) = home.glob("*.npz")
    long_ago = time.time() - (store.UNUSED_DAYS + 1) * 86_400
    os.utime(old, (long_ago, long_ago))
    by_sgd(tiny_data, seed=1)
    assert not old.exists() and len(list(home.glob("*.npz"))) == 1
