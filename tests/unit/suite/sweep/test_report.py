import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from sweep_runs import CARD, NB, a_record, add, fail

from greenai_nb.lesson.claims import Claim
from greenai_nb.suite.sweep import report, table

# 95 % quantiles of Student's law from a printed table, for 2 and 3 values.
T_1, T_2 = 12.706, 4.303


def a_claim(**changes):
    known = {
        "id": "is-fast", "sentence": "It is fast.", "source": "ours", "notebook": NB, "metric": "speed",
        "unit": "1/s", "provenance": "measured", "judged_at": ("tutorial",), "at_least": 2.0,
    }  # fmt: skip
    return Claim(**known | changes)


def summary(store):
    """Means over the runs of a store, each notebook at each of its settings."""
    frame = table.collect(store)
    parts = [
        report.means(part, [*report.QUANTITY, *report.varied(part)])
        for _, part in frame.groupby("notebook")
    ]
    return pd.concat(parts, ignore_index=True)


def test_the_summary_is_students_over_runs_at_each_setting(tmp_path):
    values = {1: (1.0, 3.0), 2: (4.0, 4.0, 7.0), 3: (9.0,)}
    runs = ((n, seed, value) for n, at in values.items() for seed, value in enumerate(at))
    for number, (n, seed, value) in enumerate(runs):
        add(tmp_path, number, {"n": n, "seed": seed, "fixed": 5}, [a_record(value=value)])
    got = summary(tmp_path)
    assert got["p.n"].tolist() == [1, 2, 3] and not {"p.seed", "p.fixed"} & set(got)
    assert got["count"].tolist() == [2, 3, 1] and got["mean"].tolist() == [2.0, 5.0, 9.0]
    # s = sqrt(2), so t s / sqrt(2) = t; and s = sqrt(3), so t s / sqrt(3) = t.
    assert got["low"].tolist() == pytest.approx([2 - T_1, 5 - T_2, 9], abs=1e-3)
    assert got["high"].tolist() == pytest.approx([2 + T_1, 5 + T_2, 9], abs=1e-3)


def test_provenances_claims_and_units_stay_apart(tmp_path):
    both = [
        a_record("energy_j", 2.0, unit="J"),
        a_record("energy_j", 50.0, unit="J", provenance="estimated"),
    ]
    claimed = [a_record("loss", 1.0, claim="a"), a_record("loss", 8.0, claim="b")]
    for number in range(2):
        add(tmp_path, number, {"seed": number}, both + claimed)
    got = summary(tmp_path)
    found = {(row.metric, row.provenance): row.mean for row in got.itertuples() if row.metric != "loss"}
    assert found == {("energy_j", "measured"): 2.0, ("energy_j", "estimated"): 50.0}
    losses = got[got["metric"] == "loss"]
    assert losses["claim"].tolist() == ["a", "b"] and losses["mean"].tolist() == [1.0, 8.0]
    assert got["count"].tolist() == [2] * 4


def test_a_metric_recorded_twice_in_a_run_counts_once(tmp_path):
    add(tmp_path, 1, {}, [a_record(value=1.0), a_record(value=2.0)])
    got = summary(tmp_path)
    assert (got["count"].tolist(), got["mean"].tolist()) == ([1], [2.0])


def test_parameters_vary_within_a_notebook_or_not_at_all(tmp_path):
    add(tmp_path, 1, {"n": 1, "mixed": [1]}, [a_record()])
    add(tmp_path, 2, {"n": 1, "mixed": [1, 2]}, [a_record()])
    add(tmp_path, 3, {"n": 2, "mixed": [1]}, [a_record()], notebook="51_other")
    got = summary(tmp_path)
    assert "p.n" not in got and got["notebook"].tolist() == [NB, NB, "51_other"]
    assert got["p.mixed"].tolist()[:2] == [1, "[1, 2]"] and pd.isna(got["p.mixed"][2])


def claimed(value, verdict="holds"):
    return [a_record(value=value, claim="is-fast", lo=value - 1, hi=value + 1, verdict=verdict)]


def test_claims_are_judged_at_each_setting(tmp_path):
    for number, value in enumerate((2.9, 3.0, 3.1)):
        add(tmp_path, number, {"n": 1, "seed": number}, claimed(value, "fails"))
    add(tmp_path, 5, {"n": 2, "seed": 0}, claimed(1.5, "undecided"))
    for number in (6, 7, 8):
        add(tmp_path, number, {"n": 3, "seed": number}, claimed(1.0))
    absent = a_claim(id="absent")
    found = report.verdicts(table.collect(tmp_path), {"absent": absent, "is-fast": a_claim()})
    assert [each.setting for each in found] == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert [each.obtained.count for each in found] == [3, 1, 3]
    assert [each.obtained.verdict for each in found] == ["holds", "undecided", "fails"]
    several, single, _ = (each.obtained for each in found)
    # s = 0.1, so the half width is t 0.1 / sqrt(3).
    half = T_2 * 0.1 / 3**0.5
    assert (several.value, several.low, several.high) == pytest.approx((3, 3 - half, 3 + half), abs=1e-3)
    assert (single.value, single.low, single.high) == (1.5, 0.5, 2.5)


def test_profiles_are_judged_apart(tmp_path):
    for number in range(5):
        profile = "ci" if number < 2 else "tutorial"
        add(tmp_path, number, {"seed": number}, claimed(1.0), profile=profile)
    found = report.verdicts(table.collect(tmp_path), {"is-fast": a_claim()})
    assert [(each.profile, each.obtained.verdict) for each in found] == [
        ("ci", "recorded"),
        ("tutorial", "fails"),
    ]


class Reader(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture
def swept(tmp_path):
    """A store of four runs on two machines, and one that failed with markup in its error."""
    for number, (n, name) in enumerate([(1, "x"), (1, "y"), (1000, "x"), (1000, "y")]):
        receipt = [
            a_record("energy_j", 2.0, unit="J", provenance="measured"),
            a_record("energy_j", 30.0, unit="J", provenance="estimated", lo=20.0, hi=40.0),
            a_record("cpu_s", 5.0, unit="s"),
            a_record("time_s", 10.0, unit="s"),
            a_record("cost in $x_$", 1.0 + n, unit="<b>"),
        ]
        card = CARD | {"processor": f"Fast {number // 2}"}
        add(tmp_path, number, {"n": n, "name": name}, claimed(3.0) + receipt, machine=card)
    fail(tmp_path, 9, "no <script>alert(1)</script> & more", n=7)
    return tmp_path


def a_page(store, claims=None):
    frame = table.collect(store)
    return report.page(store, frame, table.failures(store), claims or {"is-fast": a_claim()})


def test_the_page_is_offline_and_escaped(swept):
    text = a_page(swept)
    page = Reader(text)
    assert "http://" not in text and "https://" not in text
    assert not page.all("script") and not page.all("link") and not page.all("b")
    assert "no &lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in text and "n = 7" in text
    assert all(each["src"].startswith("data:image/png;base64,iVBOR") for each in page.all("img"))


def test_every_picture_is_described_and_only_numbers_are_drawn(swept):
    page = Reader(a_page(swept))
    alts = [each["alt"] for each in page.all("img")]
    assert len(alts) == 6 and all(re.search(r"over n .*95 % intervals", alt) for alt in alts)
    (cost,) = [alt for alt in alts if "cost in $x_$" in alt]
    assert "logarithmic axis" in cost and "from 2 at 1 to 1001 at 1000" in cost


def test_the_axis_is_linear_over_few_values(tmp_path):
    for n in (1, 100):
        add(tmp_path, n, {"n": n}, [a_record(value=n)])
    (picture,) = Reader(a_page(tmp_path)).all("img")
    assert "logarithmic" not in picture["alt"]


def test_the_page_says_claims_first_then_numbers_receipts_and_environment(swept):
    text = " ".join(a_page(swept).split())
    order = [text.index(f'id="{name}"') for name in ("claims", "metrics", "receipts", "environment")]
    assert order == sorted(order)
    # Means of two runs at each n: 3 and 3; energy of four runs, each provenance for itself.
    assert 'at least 2 1/s</td> <td>3 1/s [2, 4]</td> <td class="holds">holds</td>' in text
    assert '<td>measured</td> <td class="number">1</td> <td>n = 1, name = x<br>' in text
    assert '<tr><td>1</td><td>2 &lt;b&gt;</td> <td class="number">2</td></tr>' in text
    assert '<td>energy_j</td><td>8 J</td> <td class="number">4</td><td>measured</td>' in text
    assert "<td>energy_j</td><td>120 J [80, 160]</td>" in text and "128 J" not in text
    assert "<td>cpu_s</td><td>20 s</td>" in text and "<td>time_s</td><td>40 s</td>" in text
    assert "Warning: the runs differ in processor, 2 values" in text
    assert "differ in lock" not in text and "differ in versions" not in text


def test_links_lead_to_the_executed_notebooks(swept):
    (swept / "runs" / f"{3:016x}" / f"{NB}.ipynb").unlink()
    links = [each["href"] for each in Reader(a_page(swept)).all("a") if "ipynb" in each["href"]]
    assert links == [f"runs/{number:016x}/{NB}.ipynb" for number in range(3)]
    assert all((swept / link).is_file() for link in links)


def test_what_is_no_finite_number_is_told_and_not_drawn(tmp_path):
    for n, value in enumerate((None, None, 2.0)):
        add(tmp_path, n, {"n": n}, [a_record(value=value), a_record("odd", None, unit=None)])
    text = a_page(tmp_path)
    (picture,) = Reader(text).all("img")
    assert "1 values: the mean goes from 2 at 2 to 2 at 2" in picture["alt"]
    assert "<td>nan 1/s</td>" in text and "<h3>odd</h3>" in text


def test_metrics_beyond_thirty_are_counted_not_shown(tmp_path):
    add(tmp_path, 1, {}, [a_record(f"metric {number}") for number in range(33)])
    text = a_page(tmp_path)
    assert "metric 29" in text and "metric 30" not in text and "3 more metrics are not shown" in text
