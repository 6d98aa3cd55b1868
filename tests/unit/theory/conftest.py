"""Random games, and a report of how much of each bound was used."""

import numpy as np
import pytest

SLACK = "bound"


@pytest.fixture(scope="session")
def random_table():
    """Build random losses, outcomes by decisions, with a prior and the generator that drew them."""

    def build(seed, outcomes=5, decisions=6, loss_range=2.0):
        rng = np.random.default_rng(seed)
        log_prior = np.log(rng.dirichlet(np.ones(decisions)))
        return rng.random((outcomes, decisions)) * loss_range, log_prior, rng

    return build


@pytest.fixture
def slack(record_property):
    """Hold a loss against its bound, for the table at the end of the test report."""

    def hold(bound: str, game: str, used: float, allowed: float, room: float) -> None:
        record_property(SLACK, (bound, game, float(used / allowed), float(room)))

    return hold


def pytest_terminal_summary(terminalreporter):
    """Print the slack of each bound, and the largest share of it that a game used."""
    rows = [
        value
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == SLACK
    ]
    if not rows:
        return
    terminalreporter.section("slack of the bounds, nats")
    for bound in dict.fromkeys(row[0] for row in rows):
        games = [row for row in rows if row[0] == bound]
        used = max(games, key=lambda row: row[2])
        room = min(games, key=lambda row: row[3])
        terminalreporter.write_line(
            f"{bound:42} {len(games):3} games  most used {used[2]:6.1%} ({used[1]})  "
            f"least room {room[3]:.4g} ({room[1]})"
        )
