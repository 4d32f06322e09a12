"""Tables of ``ptbxl_results.py`` with bootstrap intervals over patients, and the log of all scorings of fold 10."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ablation_report import Reached, compared, mean_replicates

from ecgssl.config import EvaluateParams
from ecgssl.errors import InputError, Problem
from ecgssl.evaluation.evaluate import evaluate
from ecgssl.evaluation.predictions import patients_of, prediction_table
from ecgssl.files import canonical_json, write_atomic
from ecgssl.signal.lead_sets import LEAD_SETS

DOCS = Path(__file__).parents[1] / "docs"
LOG, PAGE = DOCS / "fold10_scorings.csv", DOCS / "results.md"
COLUMNS = ("date", "commit", "command", "row", "labels", "share", "leads", "metric", "value", "low", "high")
START, END = "<!-- log of fold 10: start -->", "<!-- log of fold 10: end -->"
Place = tuple[str, str, float]
"""Lead set, label set and share of the labels."""


def finished_cells(out: Path) -> list[dict[str, Any]]:
    """Return the contents of the files of all cells.

    Raises:
        InputError: there are no cells.
    """
    found = [
        {**json.loads(path.read_text()), "folder": path.with_suffix("")} for path in sorted(out.glob("cells/*.json"))
    ]
    if not found:
        raise InputError(Problem(str(out), "cells", "has no finished cell", "Run the command 'run' first"))
    return found


def compare(out: Path, split: str, against: str | None) -> pd.DataFrame:
    """Return a table with one line per lead set, label set, share and row: macro AUROC with its 95 % interval.

    The value is the mean over the draws of patients, and all rows use the same resamples of patients. The columns
    ``difference``, ``d_low`` and ``d_high`` compare a row with the row ``against`` if both have the same draws.
    """
    cells = [cell for cell in finished_cells(out) if "not_fitted" not in cell]
    if not cells:
        raise InputError(Problem(str(out), "cells", "contain no fitted model", "See not_fitted in cells/NAME.json"))
    truth = pd.read_parquet(out / "truth.parquet")
    places: dict[Place, dict[str, list[dict[str, Any]]]] = {}
    for cell in cells:
        key = (cell["leads"], cell["labels"], cell["share"])
        places.setdefault(key, {}).setdefault(cell["row"], []).append(cell)
    lines: list[dict[str, Any]] = []
    for (leads, labels, share), rows in sorted(places.items(), key=_order):
        first = next(iter(rows.values()))[0]["folder"] / "logits.npz"
        with np.load(first, allow_pickle=False) as kept:
            part = truth.iloc[kept[f"{split}_rows"]]
        values = part[_targets(truth, labels)].to_numpy(dtype=float)
        at: dict[str, Reached] = {
            row: mean_replicates([c["folder"] for c in group], split, values, patients_of(part))
            for row, group in rows.items()
        }
        draws = {row: tuple(sorted(c["draw"] for c in group)) for row, group in rows.items()}
        place = {"leads": leads, "labels": labels, "share": share, "recordings": len(part)}
        lines += [
            {**line, "draws": line.pop("seeds"), "targets": values.shape[1]}
            for line in compared(at, draws, against or "", place)
        ]
    return pd.DataFrame(lines)


def markdown(table: pd.DataFrame, split: str) -> str:
    """Return one Markdown table per lead set and share, with one line per row and one column per label set."""
    fold = {"val": "9", "test": "10"}[split]
    texts = []
    for (leads, share), group in table.groupby(["leads", "share"], sort=False):
        labels = list(dict.fromkeys(group["labels"]))
        draws = int(group["draws"].max())
        drawn = f", mean of {draws} draws of patients" if draws > 1 else ""
        texts.append(
            f"\nTable: macro AUROC on fold {fold} (95 % interval), {leads}, {share:.0%} of the labels{drawn}.\n"
        )
        texts += [f"| row | {' | '.join(labels)} |", f"|---|{'--:|' * len(labels)}"]
        for row, lines in group.groupby("row", sort=False):
            cells = {
                line.labels: f"{line.auroc:.3f} ({line.low:.3f} to {line.high:.3f})" for line in lines.itertuples()
            }
            texts.append(f"| {row} | {' | '.join(cells.get(name, '') for name in labels)} |")
    return "\n".join(texts)


def report(out: Path, split: str, against: str | None, log: Path, run: dict[str, Any]) -> str:
    """Write ``SPLIT.csv`` into the folder and return the tables as Markdown.

    With the split ``test``, every figure is first added to the log.
    """
    table = compare(out, split, against)
    if split == "test":
        figures = [
            {"row": line.row, "labels": line.labels, "share": line.share, "leads": line.leads, "metric": "macro AUROC",
             "value": line.auroc, "low": line.low, "high": line.high}
            for line in table.itertuples()
        ]  # fmt: skip
        add_to_log(log, run, figures)
    write_atomic(out / f"{split}.csv", table.to_csv(index=False, float_format="%.4f"))
    missing = [c for c in finished_cells(out) if "not_fitted" in c]
    note = f"\n\n{len(missing)} cells could not be fitted; cells/NAME.json gives the reason." if missing else ""
    return markdown(table, split) + note


def details(out: Path, row: str, labels: str, split: str, log: Path, run: dict[str, Any]) -> str:
    """Evaluate one row with all leads and labels, write the results as JSON, and return a summary.

    ``ecgssl.evaluation.evaluate`` fits calibration and thresholds on fold 9. Subgroups by sex and age are computed on fold 10.

    Raises:
        InputError: the cell is not finished or could not be fitted.
    """
    wanted = {"row": row, "labels": labels, "share": 1.0, "leads": "12lead"}
    cells = [c for c in finished_cells(out) if all(c[k] == v for k, v in wanted.items()) and "not_fitted" not in c]
    if not cells:
        raise InputError(Problem(str(out), f"{row}, {labels}", "is not a finished cell", "Run the command 'run' first"))
    truth = pd.read_parquet(out / "truth.parquet")
    names = _targets(truth, labels)
    tables = []
    with np.load(cells[0]["folder"] / "logits.npz", allow_pickle=False) as kept:
        for part in ("val", "test") if split == "test" else ("val",):
            lines = truth.iloc[kept[f"{part}_rows"]]
            keys = lines["record_id"].tolist(), lines["patient"].tolist(), [part] * len(lines)
            tables.append(prediction_table(*keys, row, names, lines[names].to_numpy(dtype=float), kept[part]))
    people = truth.set_index("record_id")[[c for c in ("sex", "age") if c in truth]]
    params = EvaluateParams(subgroups=list(people.columns))
    found = evaluate(pd.concat(tables), params, 0, baseline=None, groups=people)
    write_atomic(out / f"details-{row.replace(':', '-')}-{labels}-{split}.json", canonical_json(found))
    scored = found["models"][row][split]
    figures = [
        {"row": row, "labels": labels, "share": 1.0, "leads": "12lead", "metric": f"macro {title}",
         **{k: scored["macro"][metric][k] for k in ("value", "low", "high")}}
        for metric, title in (("auroc", "AUROC"), ("auprc", "AUPRC"))
    ]  # fmt: skip
    if split == "test":
        add_to_log(log, run, figures)
    texts = [
        f"{figure['metric']}: {figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})" for figure in figures
    ]
    errors = [entry["calibration"]["after"]["ece"] for entry in scored["labels"].values()]
    known = [error for error in errors if error is not None]
    texts.append(f"mean expected calibration error after calibration: {np.mean(known) if known else np.nan:.3f}")
    groups = pd.DataFrame(found["subgroups"].get(split, []))
    if len(groups):
        groups = groups[groups["metrics"].notna()]
        reached = groups.assign(auroc=[entry["auroc"]["value"] for entry in groups["metrics"]])
        means = reached.groupby(["column", "group"], sort=False)["auroc"].agg(["mean", "count"])
        texts += [f"{column} {group}: mean AUROC {mean:.3f} of {count:.0f} labels" for (column, group), mean, count
                  in zip(means.index, means["mean"], means["count"], strict=True)]  # fmt: skip
    return "\n".join(texts)


def add_to_log(log: Path, run: dict[str, Any], figures: list[dict[str, Any]]) -> None:
    """Add figures on fold 10 to the log, with date, commit and command. Earlier lines are kept."""
    lines = pd.DataFrame([{**run, **figure} for figure in figures])[list(COLUMNS)]
    earlier = log.read_text(encoding="utf-8") if log.exists() else ""
    text = lines.to_csv(index=False, header=not earlier, float_format="%.4f", lineterminator="\n")
    write_atomic(log, earlier + text)


def log_table(log: Path) -> str:
    """Return the log as a Markdown table, with one line per command and row."""
    table = pd.read_csv(log, keep_default_na=False, dtype=str)
    lines = ["| date | commit | row | figures | command |", "|---|---|---|---|---|"]
    for (date, commit, command, row), group in table.groupby(["date", "commit", "command", "row"], sort=False):
        figures = "; ".join(_figure(line) for line in group.to_dict("records"))
        lines.append(f"| {date} | {commit[:7]} | {row} | {figures} | {f'`{command}`' if command else ''} |")
    return "\n".join(lines)


def write_log_table(log: Path, page: Path) -> None:
    """Replace the table between the two comments ``log of fold 10`` of a page by the log."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(START)
    write_atomic(page, f"{before}{START}\n\n{log_table(log)}\n\n{END}{rest.split(END)[1]}")


def _order(item: tuple[Place, Any]) -> tuple[int, float, str]:
    """Sort by lead set (most leads first), share (largest first) and label set."""
    leads, labels, share = item[0]
    return list(LEAD_SETS).index(leads), -share, labels


def _figure(line: dict[str, str]) -> str:
    interval = f" ({float(line['low']):.3f} to {float(line['high']):.3f})" if line["low"] else ""
    where = [line["labels"], *([f"{float(line['share']):.0%} of labels"] if float(line["share"]) < 1 else [])]
    where += [line["leads"]] if line["leads"] != "12lead" else []
    where += [line["metric"]] if line["metric"] != "macro AUROC" else []
    return f"{', '.join(where)} {float(line['value']):.3f}{interval}"


def _targets(truth: pd.DataFrame, labels: str) -> list[str]:
    return [str(column) for column in truth.columns if str(column).startswith(f"{labels}.")]
