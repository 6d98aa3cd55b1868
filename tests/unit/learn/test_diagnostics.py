"""The judges of chains, against chains whose law is known."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

from greenai_nb.learn.diagnostics import summary


def ar1(rho: float, chains: int, draws: int, seed: int = 0) -> np.ndarray:
    """Chains x_t = rho x_{t-1} + sqrt(1 - rho^2) e_t, standard normal from the first draw on."""
    noise = np.random.default_rng(seed).standard_normal((chains, draws))
    noise[:, 1:] *= np.sqrt(1 - rho**2)
    return lfilter([1], [1, -rho], noise, axis=1)


def tail_memory(rho: float, q: float = 0.05) -> float:
    """1 + 2 sum_k c_k, with c_k the correlation of 1[x_0 <= z] and 1[x_k <= z] at the q-quantile z."""
    z = np.full(2, stats.norm.ppf(q))
    powers = [rho**lag for lag in range(1, 100) if abs(rho) ** lag > 1e-4]
    both = [stats.multivariate_normal(cov=[[1, r], [r, 1]]).cdf(z) for r in powers]
    return 1 + 2 * float(np.sum((np.array(both) - q**2) / (q - q**2)))


@pytest.mark.parametrize("rho", [-0.3, 0.0, 0.5, 0.9])
def test_chains_of_known_memory_are_worth_what_theory_says(rho):
    draws = ar1(rho, 4, 50_000)
    table = summary({"x": draws}).loc["x"]
    worth = draws.size * (1 - rho) / (1 + rho)
    assert table.ess_bulk == pytest.approx(worth, rel=0.12)
    assert table.mcse == pytest.approx(1 / np.sqrt(worth), rel=0.12)
    assert abs(table["mean"]) < 4 * table.mcse and table.sd == pytest.approx(1, abs=0.05)
    assert table.r_hat == pytest.approx(1, abs=0.005)
    assert table.ess_tail == pytest.approx(draws.size / tail_memory(rho), rel=0.12)


def test_r_hat_tells_chains_apart_that_differ_in_mean_or_in_spread():
    draws = ar1(0.0, 4, 1000)
    shifted, spread = draws + np.array([[0], [0], [0], [1.5]]), draws * np.array([[1], [1], [1], [9]])
    table = summary({"same": draws, "shifted": shifted, "spread": spread})
    assert list(table.index) == ["same", "shifted", "spread"]
    assert list(table) == ["mean", "sd", "mcse", "ess_bulk", "ess_tail", "r_hat"]
    assert table.r_hat["same"] < 1.01 and (table.r_hat[["shifted", "spread"]] > 1.1).all()
    assert table.ess_bulk["shifted"] < 100


def test_mean_and_sd_are_those_of_all_draws():
    draws = [[0, 1, 2, 3], [4, 5, 6, 9]]
    row = summary({"x": draws}).loc["x"]
    assert row["mean"] == 3.75 and row.sd == pytest.approx(np.std(np.ravel(draws), ddof=1))


def test_the_bulk_is_judged_by_ranks_which_no_rising_map_changes():
    draws = ar1(0.6, 3, 400)
    table = summary({"x": draws, "heavy": np.exp(3 * draws)})
    assert table.ess_bulk["x"] == table.ess_bulk["heavy"]


def test_single_precision_is_judged_in_double():
    draws = (1e4 + ar1(0.5, 2, 300)).astype(np.float32)
    table = summary({"single": draws, "double": draws.astype(float)})
    assert table.loc["single"].tolist() == table.loc["double"].tolist()


def test_a_stuck_chain_among_moving_ones_is_not_hidden():
    draws = ar1(0.0, 3, 500)
    draws[0] = 2.0
    assert summary({"x": draws}).r_hat["x"] > 1.1


GOOD = ar1(0.0, 2, 10)


@pytest.mark.parametrize(
    ("draws", "said"),
    [
        (GOOD[:1], "w has 1 chain, 2 or more are expected: R-hat compares chains"),
        (GOOD[:, :3], "w has 3 draws a chain, 4 or more are expected"),
        (np.where(GOOD[1, 2] == GOOD, np.nan, GOOD), r"w must be finite numbers .*got \[nan\]"),
        (np.where(GOOD[1, 2] == GOOD, np.inf, GOOD), r"w must be finite numbers .*got \[inf\]"),
        ([GOOD[0], GOOD[1, :7]], r"w must be chains of one length, got lengths \[7, 10\]: cut all to 7"),
        (GOOD[0], r"w must have two axes, chains and draws, got the shape \(10,\)"),
        (GOOD[None], r"w must have two axes, chains and draws, got the shape \(1, 2, 10\)"),
        (np.array([[1.0] * 9, [2.0] * 9]), "w moves in none of its 2 chains"),
        ([], "w is empty"),
    ],
)
def test_what_cannot_be_judged_is_refused(draws, said):
    with pytest.raises(ValueError, match=said):
        summary({"fine": GOOD, "w": draws})


def test_a_summary_of_nothing_is_refused():
    with pytest.raises(ValueError, match="names no quantity"):
        summary({})


def test_loading_is_quiet_and_left_to_the_first_use():
    code = (
        "import sys; import greenai_nb.learn.diagnostics as d; print('arviz_stats' in sys.modules);"
        "d.summary({'x': [[0, 1, 2, 3], [3, 1, 0, 2]]})"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")
