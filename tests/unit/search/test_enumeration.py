import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from greenai_nb.checks import UsageError
from greenai_nb.search import enumeration
from greenai_nb.search.enumeration import (
    Training,
    cross_entropy,
    described,
    expected_best,
    read,
    seed_noise,
    trained,
    write,
)
from greenai_nb.search.space import Space

pytestmark = pytest.mark.usefixtures("one_thread_in_all")


@pytest.mark.parametrize(("total", "tries"), [(6, 1), (6, 3), (6, 6), (7, 2)])
def test_the_expected_best_is_the_mean_over_all_draws(total, tries):
    values = np.random.default_rng(total).normal(size=total)
    draws = [min(values[[*each]]) for each in itertools.combinations(range(total), tries)]
    assert expected_best(values, tries) == pytest.approx(np.mean(draws))


@pytest.mark.parametrize("tries", [1, 4, 16, 52])
def test_the_expected_best_rank_of_random_search_has_a_closed_form(tries):
    assert expected_best(range(1, 53), tries) == pytest.approx(53 / (tries + 1))


@pytest.mark.parametrize("tries", [0, 53])
def test_more_draws_than_networks_are_refused(tries):
    with pytest.raises(ValueError, match=r"tries must lie in \[1, 52\]"):
        expected_best(range(52), tries)


def test_seed_noise_is_the_root_of_the_mean_variance_of_logs():
    table = pd.DataFrame({"architecture": list("aabb"), "loss": [1.0, math.e**2, 5.0, 5.0]})
    assert seed_noise(table) == pytest.approx(1.0)
    assert math.isnan(seed_noise(table.iloc[::2]))


@pytest.fixture
def space(tiny_data):
    return Space(tiny_data.shape, tiny_data.classes, width=2, stages=(1,), stride=1)


def test_a_table_of_trainings_comes_back_as_it_was_written(space, tiny_data, tmp_path):
    how = Training(epochs=2, batch_size=10)
    table = trained(space, tiny_data, how, space.distinct(), [0, 1])
    assert len(table) == 8 and set(table["architecture"]) == {"skip", "1x1", "depthwise", "3x3"}
    write(tmp_path / "table.csv", table, described(space, tiny_data, how))
    again, made = read(tmp_path / "table.csv")
    pd.testing.assert_frame_equal(again, table, atol=1e-5, check_exact=False)
    assert made == described(space, tiny_data, how) != described(space, tiny_data, Training())


def test_a_row_is_what_the_training_alone_gives(space, tiny_data):
    how = Training(epochs=1, batch_size=10)
    row = trained(space, tiny_data, how, [("3x3",)], [5]).iloc[0]
    torch.manual_seed(5)
    fit = how.fit(space.network(("3x3",)), tiny_data, 5)
    split = tiny_data.validation
    with torch.no_grad():
        logits = fit.net(split.images.float() / 255)
    assert row["loss"] == pytest.approx(float(functional.cross_entropy(logits, split.labels)), rel=1e-5)
    assert row["loss"] == pytest.approx(cross_entropy(fit.net, split))
    assert row["accuracy"] == pytest.approx(float((logits.argmax(1) == split.labels).float().mean()))


def test_a_space_for_other_images_is_refused_before_training(tiny_data):
    space = Space((1, 8, 8), 3)
    with pytest.raises(
        UsageError, match=r"tiny has images of \(1, 4, 4\) in 3 classes, the space is for"
    ):
        trained(space, tiny_data, Training(), space.distinct(), [0])


@pytest.mark.parametrize(
    "text", ["", "architecture,loss\n", '# {"made": {}}\narchitecture,loss\n', "# []\n"]
)
def test_a_file_that_is_no_table_is_refused(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"python -m greenai_nb.search.enumeration"):
        read(path)


def test_the_shipped_table_has_every_network_once_for_each_seed():
    table, made = read()
    counts = table.groupby("seed")["architecture"].value_counts()
    names = {" ".join(each) for each in Space().distinct()}
    assert (counts == 1).all() and set(table["architecture"]) == names
    assert table["seed"].nunique() >= 3 and len(table) == 52 * table["seed"].nunique()
    assert made["epochs"] == Training().epochs and made["learning_rate"] == Training().learning_rate
    assert table["loss"].between(0.05, 1.5).all() and table["accuracy"].between(0.5, 1).all()


def test_the_command_writes_a_table(tmp_path, monkeypatch, capsys, tiny_data):
    monkeypatch.setattr(enumeration, "load", lambda name: tiny_data)
    monkeypatch.setattr(enumeration, "Space", lambda *given: Space(*given, 2, (1,), 1))
    path = tmp_path / "table.csv"
    arguments = ["enumeration", str(path), "--images", "20", "--seeds", "0"]
    monkeypatch.setattr("sys.argv", arguments)
    enumeration.main()
    assert len(read(path)[0]) == 4 and "4: 3x3, loss" in capsys.readouterr().out
