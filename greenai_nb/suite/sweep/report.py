"""What a sweep says: means over runs at each setting, the claims there, and one page offline."""

import base64
import itertools
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from greenai_nb.intervals import student_interval
from greenai_nb.lesson.claims import Claim, Obtained, judge
from greenai_nb.suite.run.kernel import FAILED
from greenai_nb.suite.sweep.store import RUNS
from greenai_nb.suite.sweep.table import PARAMETER

if TYPE_CHECKING:
    import pandas as pd

Claims = Mapping[str, Claim]
SEEDS = {PARAMETER + "seed", PARAMETER + "seeds"}
QUANTITY = ["notebook", "metric", "claim", "unit", "provenance"]
ENVIRONMENT = ("processor", "versions", "revision", "lock")
MOST_METRICS = 30
WIDE = 100.0  # values that span more than this factor are drawn on a logarithmic axis


@dataclass(frozen=True)
class Finding:
    """A claim at one setting, and what the runs there showed."""

    claim: Claim
    setting: dict[str, Any]
    profile: str
    provenance: str
    obtained: Obtained


def varied(frame: "pd.DataFrame") -> list[str]:
    """Columns of the parameters that take several values, those of seeds left out."""
    runs = frame.drop_duplicates("run")
    names = [str(name) for name in runs if str(name).startswith(PARAMETER) and name not in SEEDS]
    return [name for name in names if runs[name].nunique(dropna=False) > 1]


def summary(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Each metric of each notebook at each setting: mean over runs, Student interval at 95 %, count.

    A metric that a run recorded twice counts with its last value. Values of different provenance, or
    for different claims, stand apart.
    """
    import pandas as pd

    parts = [_means(part, [*QUANTITY, *varied(part)]) for _, part in frame.groupby("notebook")]
    return pd.concat(parts or [_means(frame, QUANTITY)], ignore_index=True)


def verdicts(frame: "pd.DataFrame", claims: Claims) -> list[Finding]:
    """The claims that have records, at each setting, in the order of ``claims``.

    Several runs are judged together by their values; a single one keeps the verdict that it had.
    """
    findings = []
    for name, claim in claims.items():
        whole = frame[frame["notebook"] == claim.notebook]
        names = varied(whole)
        found = whole[whole["claim"] == name].drop_duplicates("run", keep="last")
        groups: Any = found.groupby(["profile", "provenance", *names], dropna=False)
        for (profile, provenance, *values), part in groups:
            if len(part) > 1:
                obtained = judge(claim, part["value"].tolist(), profile)
            else:
                value, low, high, verdict = part[["value", "lo", "hi", "verdict"]].iloc[0]
                obtained = Obtained(value, low, high, 1, verdict)
            setting = _setting(names, dict(zip(names, values, strict=True)))
            findings.append(Finding(claim, setting, profile, provenance, obtained))
    return findings


def page(store: Path | str, frame: "pd.DataFrame", failed: Sequence[Any], claims: Claims) -> str:
    """The offline page of a sweep; its links hold where it lies in the store."""
    from jinja2 import Environment

    names: dict[Any, list[str]] = {name: varied(part) for name, part in frame.groupby("notebook")}
    whole = frame.sort_values("notebook", kind="stable").fillna({"claim": "", "unit": ""})
    metrics: Any = whole.groupby(QUANTITY, sort=False)
    shown = [_metric(part, names[key[0]]) for key, part in itertools.islice(metrics, MOST_METRICS)]
    place = Path(store)
    runs = frame.drop_duplicates("run")
    finished = []
    for run in runs.to_dict("records"):
        link = _link(place, RUNS, run["run"], run["notebook"])
        finished.append((run, _setting(names[run["notebook"]], run), link))
    lost = [(run, _link(place, FAILED, run["fingerprint"], run["notebook"])) for run in failed]
    cards = {name: runs[name].fillna("unknown").value_counts().to_dict() for name in ENVIRONMENT}
    jinja = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = (files("greenai_nb.suite") / "sweep_report.html.j2").read_text()
    return jinja.from_string(template).render(
        store=place.resolve().name,
        findings=verdicts(frame, claims),
        metrics=shown,
        left_out=metrics.ngroups - len(shown),
        receipts=list(_receipts(frame)),
        environment=cards,
        runs=finished,
        failed=lost,
    )


def _means(part: "pd.DataFrame", keys: list[str]) -> "pd.DataFrame":
    """Count, mean and interval over the runs of each group; groups of one size are done at once."""
    rows = part.drop_duplicates(["run", *QUANTITY], keep="last")
    grouped = rows.groupby(keys, dropna=False)
    group = grouped.ngroup().to_numpy()
    values = rows["value"].to_numpy(float)[np.argsort(group, kind="stable")]
    count = np.bincount(group)
    start = np.cumsum(count) - count
    table = grouped.size().reset_index(name="count")
    ends = np.empty((3, len(count)))
    for size in np.unique(count):
        same = np.flatnonzero(count == size)
        ends[:, same] = student_interval(values[start[same] + np.arange(size)[:, None]])
    return table.assign(mean=ends[0], low=ends[1], high=ends[2])


def _metric(part: "pd.DataFrame", names: Sequence[str]) -> dict[str, Any]:
    """A metric for the page: a table over each varied parameter, and a picture if it is a number."""
    whole: dict[Any, Any] = _means(part, QUANTITY).iloc[0].to_dict()
    unit = f" ({whole['unit']})" if whole["unit"] else ""
    label = f"{whole['metric']}{unit}, {whole['provenance']}"
    tables = []
    for name in names:
        means, parameter = _means(part, [name]), name.removeprefix(PARAMETER)
        rows = [(row[name], row) for row in means.to_dict("records")]
        tables.append((parameter, rows, _picture(means, name, label)))
    return {**whole, "tables": tables}


def _picture(means: "pd.DataFrame", name: str, label: str) -> tuple[str, str] | None:
    """Mean and interval over a parameter, in base64 and in words; None where nothing can be drawn."""
    import matplotlib as mpl
    import pandas as pd
    from matplotlib.figure import Figure

    from greenai_nb.show.figure import png
    from greenai_nb.show.style import BLUE, use_style

    values = means[name].infer_objects()
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return None
    points = means[[name, "mean", "low", "high"]].to_numpy(float)
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return None
    x, mean, low, high = points.T
    is_wide = x.min() > 0 and x.max() / x.min() > WIDE
    parameter = name.removeprefix(PARAMETER)
    with mpl.rc_context():
        use_style()
        fig = Figure()
        ax = fig.subplots()
        ax.errorbar(x, mean, (mean - low, high - mean), color=BLUE, marker="o", capsize=3)
        ax.set_xscale("log" if is_wide else "linear")
        ax.set_xlabel(parameter, parse_math=False)
        ax.set_ylabel(textwrap.fill(label, 36), parse_math=False)
        data = base64.b64encode(png(fig)).decode()
    ends = (0, -1, mean.argmin(), mean.argmax())
    first, last, least, most = (f"{mean[at]:.4g} at {x[at]:g}" for at in ends)
    alt = (
        f"{label}, over {parameter}{' on a logarithmic axis' if is_wide else ''}, {len(x)} values: the "
        f"mean goes from {first} to {last}; least {least}, most {most}. Bars are 95 % intervals."
    )
    return data, alt


def _receipts(frame: "pd.DataFrame") -> Iterator[tuple[Any, ...]]:
    """Totals over runs of joules and seconds, one for each provenance: value, low, high, and runs."""
    for name in ("energy_j", "cpu_s"):
        rows = frame[frame["metric"] == name]
        rows = rows.assign(lo=rows["lo"].fillna(rows["value"]), hi=rows["hi"].fillna(rows["value"]))
        for (unit, provenance), part in rows.groupby(["unit", "provenance"], dropna=False):
            total = part[["value", "lo", "hi"]].sum().tolist()
            yield name, unit, provenance, total, part["run"].nunique()
    runs = frame.drop_duplicates("run")
    yield "time_s", "s", "measured", [runs["time_s"].sum()] * 3, len(runs)


def _link(store: Path, kind: str, fingerprint: str, notebook: str) -> str:
    """The way from the store to an executed notebook; empty where it is not there."""
    link = f"{kind}/{fingerprint}/{notebook}.ipynb"
    return link if (store / link).is_file() else ""


def _setting(names: Sequence[str], values: Mapping[Any, Any]) -> dict[str, Any]:
    return {name.removeprefix(PARAMETER): values[name] for name in names}
