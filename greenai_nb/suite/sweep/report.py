"""Report on a sweep: means over runs at each setting, claims there, and one offline page."""

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from greenai_nb.intervals import Estimate, student_interval
from greenai_nb.lesson.claims import Claim, Obtained, judge
from greenai_nb.show.figure import image_tag, png
from greenai_nb.show.style import BLUE, use_style
from greenai_nb.suite.run.report import render
from greenai_nb.suite.sweep.store import Receipt
from greenai_nb.suite.sweep.table import PARAMETER

SEEDS = {PARAMETER + "seed", PARAMETER + "seeds"}
QUANTITY = ["notebook", "metric", "claim", "unit", "provenance"]
TOTALS = ("energy_j", "cpu_s", "time_s")
ENVIRONMENT = ("processor", "versions", "revision", "lock")
MAX_METRICS = 30
WIDE = 100.0  # values that span more than this factor are drawn on a logarithmic axis

Claims = Mapping[str, Claim]


@dataclass(frozen=True)
class Finding:
    """A claim at one setting, and what the runs there showed."""

    claim: Claim
    setting: dict[str, Any]
    profile: str
    provenance: str
    obtained: Obtained


def varied(frame: pd.DataFrame) -> list[str]:
    """Columns of the parameters that take several values, except seeds."""
    runs = frame.drop_duplicates("run")
    names = [str(name) for name in runs if str(name).startswith(PARAMETER) and name not in SEEDS]
    return [name for name in names if runs[name].nunique(dropna=False) > 1]


def means(frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Mean over the runs of each group, its Student interval at 95 %, and their number.

    A metric that a run recorded twice counts with its last value. Where a run obtained no number, the
    mean is NaN.
    """
    rows = frame.drop_duplicates(["run", *QUANTITY], keep="last")
    groups: Any = rows.groupby(list(keys), dropna=False)["value"]
    found = [(*key, len(values), *map(float, student_interval(values))) for key, values in groups]
    return pd.DataFrame(found, columns=[*keys, "count", "mean", "low", "high"])


def verdicts(frame: pd.DataFrame, claims: Claims) -> list[Finding]:
    """The claims that have records, at each setting, in the order of ``claims``.

    Several runs are judged together by their values; a single one keeps the verdict that it had.
    """
    findings = []
    for name, claim in claims.items():
        whole = frame[frame["notebook"] == claim.notebook]
        names = varied(whole)
        rows = whole[whole["claim"] == name].drop_duplicates("run", keep="last")
        groups: Any = rows.groupby(["profile", "provenance", *names], dropna=False)
        for (profile, provenance, *values), part in groups:
            if len(part) == 1:
                value, low, high, verdict = part[["value", "lo", "hi", "verdict"]].iloc[0]
                obtained = Obtained(value, low, high, 1, verdict)
            else:
                value, low, high = map(float, student_interval(part["value"]))
                doubt = "; ".join(sorted({*part["reason"].dropna()}))
                obtained = judge(claim, Estimate(value, low, high, len(part), doubt), profile)
            setting = _setting(dict(zip(names, values, strict=True)))
            findings.append(Finding(claim, setting, profile, provenance, obtained))
    return findings


def page(folder: Path, frame: pd.DataFrame, failed: Sequence[Receipt], claims: Claims) -> str:
    """The offline page of a sweep; its links are relative to the folder."""
    frame = frame.sort_values("notebook", kind="stable").fillna({"claim": "", "unit": ""})
    names: dict[Any, list[str]] = {name: varied(part) for name, part in frame.groupby("notebook")}
    metrics: Any = frame.groupby(QUANTITY, sort=False)
    runs = frame.drop_duplicates("run")
    return render(
        "sweep/report.html.j2",
        store=folder.resolve().name,
        claims=verdicts(frame, claims),
        metrics=[_metric(part, names[key[0]]) for key, part in itertools.islice(metrics, MAX_METRICS)],
        left_out=max(0, metrics.ngroups - MAX_METRICS),
        totals=_totals(frame),
        environment={of: runs[of].fillna("unknown").value_counts().to_dict() for of in ENVIRONMENT},
        runs=[
            (run, _setting({name: run[name] for name in names[run["notebook"]]}))
            for run in runs.to_dict("records")
        ],
        failed=failed,
        links={path.relative_to(folder).as_posix() for path in folder.glob("*/*/*.ipynb")},
    )


def _metric(part: pd.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    """A metric for the page: a table over each varied parameter, and a picture if it is a number."""
    whole: dict[Any, Any] = means(part, QUANTITY).iloc[0].to_dict()
    unit = f" ({whole['unit']})" if whole["unit"] else ""
    label = f"{whole['metric']}{unit}, {whole['provenance']}"
    tables = []
    for name in names:
        table = means(part, [name])
        rows = [(row[name], row) for row in table.to_dict("records")]
        tables.append((name.removeprefix(PARAMETER), rows, _picture(table, name, label)))
    return {**whole, "tables": tables}


def _picture(table: pd.DataFrame, name: str, label: str) -> tuple[str, str] | None:
    """Mean and interval over a parameter, as an image and in words; None where nothing can be drawn."""
    values = table[name].infer_objects()
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return None
    points = table[[name, "mean", "low", "high"]].to_numpy(float)
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return None
    x, mean, low, high = points.T
    is_wide = x.min() > 0 and x.max() / x.min() > WIDE
    parameter = name.removeprefix(PARAMETER)
    ends = (0, -1, mean.argmin(), mean.argmax())
    first, last, least, most = (f"{mean[i]:.4g} at {x[i]:g}" for i in ends)
    alt = (
        f"{label}, over {parameter}{' on a logarithmic axis' if is_wide else ''}, {len(x)} values: the "
        f"mean goes from {first} to {last}; least {least}, most {most}. Bars are 95 % intervals."
    )
    with mpl.rc_context():
        use_style()
        fig = Figure()
        ax = fig.subplots()
        ax.errorbar(x, mean, (mean - low, high - mean), color=BLUE, marker="o", capsize=3)
        ax.set_xscale("log" if is_wide else "linear")
        ax.set_xlabel(parameter, parse_math=False)
        ax.set_ylabel(textwrap.fill(label, 36), parse_math=False)
        return image_tag(png(fig), alt), alt


def _totals(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    """Joules and seconds over all runs, separately for each provenance, with the number of runs."""
    rows = frame[frame["metric"].isin(TOTALS)]
    rows = rows.assign(low=rows["lo"].fillna(rows["value"]), high=rows["hi"].fillna(rows["value"]))
    sums = dict.fromkeys(("value", "low", "high"), "sum")
    groups = rows.groupby(["metric", "unit", "provenance"], dropna=False, as_index=False)
    return groups.agg({**sums, "run": "nunique"}).to_dict("records")


def _setting(values: Mapping[Any, Any]) -> dict[str, Any]:
    return {name.removeprefix(PARAMETER): value for name, value in values.items()}
