"""Table of methods (rows) and tasks on test sets (columns), with published results marked as quoted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ecgssl.evaluation.leaderboard import Entry
from ecgssl.evaluation.quoted import Quoted

RANDOM = "random encoder"
SCRATCH = "from scratch"


@dataclass(frozen=True)
class Column:
    """A task on a test set.

    Args:
        set, task: names of the test set and of the task.
        metric_title: display name of the metric.
        records: number of test recordings.
        trained_on: name of the set that the models were fine-tuned on, if it is not the test set; otherwise empty.
        share: share of the training patients whose labels are used.
        leads: lead set of training and test.
        test_digest: digest of the test recordings and their targets.
    """

    set: str
    task: str
    metric_title: str
    records: int
    trained_on: str = ""
    share: float = 1.0
    leads: str = ""
    test_digest: str = ""

    @property
    def title(self) -> str:
        """Return the heading of the column."""
        trained = f", trained on {self.trained_on}" if self.trained_on else ""
        labels = f", {100 * self.share:.3g} % of the labels" if self.share != 1 else ""
        return f"{self.set}: {self.task}{trained}{labels}" if self.set else f"{self.task}{labels}"


@dataclass(frozen=True)
class Result:
    """One cell of the table.

    Args:
        value, low, high: metric with the bounds of its interval; ``None`` if undefined or not published.
        quoted: source and split of a published result; empty for a result of this run.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    quoted: str = ""


@dataclass(frozen=True)
class MethodTable:
    """Results by method and column.

    Args:
        columns: tasks on test sets.
        rows: results by method, and by column title; a method has no entry for a column that it was not tested on.
    """

    columns: tuple[Column, ...]
    rows: Mapping[str, Mapping[str, Result]]

    def as_json(self) -> dict[str, Any]:
        """Return the table as a JSON-compatible dictionary."""
        rows = [
            {"method": name, "results": {title: asdict(result) for title, result in results.items()}}
            for name, results in self.rows.items()
        ]
        return {"columns": [asdict(column) | {"title": column.title} for column in self.columns], "rows": rows}

    def as_markdown(self) -> str:
        """Return the table in Markdown, with the sources of published results below it."""
        sources = list(dict.fromkeys(r.quoted for results in self.rows.values() for r in results.values() if r.quoted))
        heads = ["method", *(f"{c.title} ({c.metric_title}, {c.records} recordings)" for c in self.columns)]
        lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        for name, results in self.rows.items():
            cells = [_cell(results.get(column.title), sources) for column in self.columns]
            lines.append(f"| {' | '.join([name, *cells])} |")
        notes = [f"\\[{number}\\] quoted, not computed here: {source}" for number, source in enumerate(sources, 1)]
        return "\n".join(lines) + "\n" + "".join(f"\n{note}  " for note in notes) + ("\n" if notes else "")


def method_table(
    entries: Sequence[Entry],
    quoted: Sequence[Quoted] = (),
    readers: Mapping[str, str] | None = None,
    targets: Mapping[str, int] | None = None,
) -> MethodTable:
    """Arrange leaderboard entries by method and by task on a test set.

    Only models that were trained with the largest share of the labels, and trained and tested with the lead set of the first
    entry are included. The results of the random encoder and of the clinical baseline are those with the same share and leads.
    They have one row for each kind of their probe.

    Args:
        entries: leaderboard entries, at least one.
        quoted: published results, computed with all labels. They are included if a column has their public set, task and
            number of targets, and its models were trained with all labels.
        readers: name of the public set of each set; required for published results.
        targets: number of targets of each task; required for published results.
    """
    kept = [e for e in entries if e.trained_on == e.tested_on == entries[0].trained_on]
    share = max(e.share for e in kept)
    kept = [e for e in kept if e.share == share]
    columns: dict[tuple[str, str], Column] = {}
    rows: dict[str, dict[str, Result]] = {name: {} for name in first_methods(kept)}
    # a task is fine-tuned on one set, so a column has models of one set; columns of this set come first
    for e in sorted(kept, key=lambda e: e.set != e.tested_set):
        trained_on = "" if e.set == e.tested_set else e.set
        made = Column(e.tested_set, e.task, e.metric_title, e.records, trained_on, e.share, e.trained_on, e.test_digest)
        column = columns.setdefault((e.tested_set, e.task), made)
        probe = e.baseline_probe
        if e.random is not None:
            rows[f"{RANDOM}, {probe}"].setdefault(column.title, Result(e.random, e.random_low, e.random_high))
        if e.clinical is not None:
            name = f"{e.clinical_model}, {probe}"
            rows[name].setdefault(column.title, Result(e.clinical, e.clinical_low, e.clinical_high))
        rows.setdefault(_method(e), {})[column.title] = Result(e.value, e.low, e.high)
    for result in quoted:
        for column in columns.values():
            same = (readers or {}).get(column.set) == result.reader and column.task == result.task
            if (
                same
                and not column.trained_on
                and column.share == 1
                and (targets or {}).get(column.task) == result.targets
                and column.metric_title == "macro AUROC"
            ):
                about = f"{result.source} ({result.split})"
                rows.setdefault(result.method, {})[column.title] = Result(result.value, quoted=about)
    return MethodTable(tuple(columns.values()), {name: results for name, results in rows.items() if results})


def first_methods(entries: Sequence[Entry]) -> list[str]:
    """Return the names of the first rows of a table: the baselines with each of their probes, then training from scratch.

    Clinical baselines have one row per set of inputs, because not every set has age and sex.
    """
    baselines = [RANDOM, *dict.fromkeys(e.clinical_model for e in entries if e.clinical_model)]
    return [*(f"{name}, {probe}" for name in baselines for probe in ("linear", "mlp")), SCRATCH]


def _method(e: Entry) -> str:
    return SCRATCH if e.mode == "scratch" else f"{e.objective}, {e.mode}" if e.objective else e.mode


def _cell(result: Result | None, sources: Sequence[str]) -> str:
    if result is None:
        return "-"
    if result.value is None:
        return "undefined"
    interval = "" if result.low is None or result.high is None else f" ({result.low:.3f} to {result.high:.3f})"
    mark = f" \\[{sources.index(result.quoted) + 1}\\]" if result.quoted else ""
    return f"{result.value:.3f}{interval}{mark}"
