"""Leaderboard that compares fine-tuning settings, as a Markdown table, JSON and metrics files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ecgssl.evaluation.predictions import BASELINE, clinical_of
from ecgssl.evaluation.statistics.metrics import metric_named


def named_mode(mode: str, choices: Mapping[str, Any]) -> str:
    """Return a text for a mode, with a note if no epoch improved on the probe, whose results are then those of the run.

    Args:
        mode: name or description of a fine-tuning mode.
        choices: entry ``choices`` of ``choices.json``.
    """
    if choices.get("epoch") != 0:
        return mode
    nonlinear = (choices.get("started_from") or {}).get("epoch")
    return f"{mode} ({'nonlinear' if nonlinear else 'linear'} probe kept)"


@dataclass(frozen=True)
class Entry:
    """Leaderboard entry: primary test metric of one model, compared with the two baselines of the run.

    Values that are undefined or were not computed are ``None``.

    Args:
        task, mode, share: task, fine-tuning mode and share of training patients of the setting.
        trained_on, tested_on: lead sets used in training and test; empty for all leads of the preprocessing settings.
        metric: primary metric: ``auroc``, or ``mae`` for a regression. Its value is the mean over the labels.
        records: number of test recordings.
        value, low, high: metric with the bounds of its patient-clustered bootstrap interval.
        repetitions: number of repetitions (draws of the share, or of the folds) over which the values are averaged.
        auprc: macro AUPRC; ``None`` for a regression.
        random, random_low, random_high: metric of the probe on the randomly initialised encoder. The bounds of its
            interval are ``None`` if there are several repetitions.
        gain, gain_low, gain_high, gain_p: paired difference ``value - random``, its interval and p value.
        objective: objective of pretraining (``objective.kind``); empty if unknown, and not used with mode ``scratch``.
        clinical_model: name of the clinical baseline, which states whether age and sex are inputs; empty if there is none.
        clinical, clinical_low, clinical_high: metric of the clinical baseline, as ``random``.
        clinical_gain, clinical_gain_low, clinical_gain_high, clinical_gain_p: paired difference ``value - clinical``.
        set, tested_set: names of the sets that the model was fine-tuned on and tested on; empty outside the pipeline.
        test_digest: digest of the test recordings and their targets (``predictions.recordings_digest``).
        baseline_probe: probe of both baselines, ``linear`` or ``mlp``.
    """

    task: str
    mode: str
    share: float
    trained_on: str
    tested_on: str
    metric: str
    records: int
    value: float | None
    low: float | None
    high: float | None
    repetitions: int = 1
    auprc: float | None = None
    random: float | None = None
    random_low: float | None = None
    random_high: float | None = None
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    gain_p: float | None = None
    objective: str = ""
    set: str = ""
    tested_set: str = ""
    clinical_model: str = ""
    clinical: float | None = None
    clinical_low: float | None = None
    clinical_high: float | None = None
    clinical_gain: float | None = None
    clinical_gain_low: float | None = None
    clinical_gain_high: float | None = None
    clinical_gain_p: float | None = None
    test_digest: str = ""
    baseline_probe: str = "linear"

    @property
    def metric_title(self) -> str:
        """Return the display name of the metric for tables and axes."""
        return "macro AUROC" if self.metric == "auroc" else self.metric.upper()

    def metrics(self) -> dict[str, float]:
        """Return the numbers of the entry by name, without those that are ``None``, for ``dvc metrics`` and MLflow."""
        numbers: dict[str, float | None] = {"records": self.records}
        numbers |= {self.metric: self.value, f"{self.metric}_low": self.low, f"{self.metric}_high": self.high}
        numbers |= {"auprc": self.auprc, f"random_{self.metric}": self.random}
        numbers |= {k: getattr(self, k) for k in ("gain", "gain_low", "gain_high", "gain_p")}
        numbers |= {f"clinical_{self.metric}": self.clinical}
        numbers |= {k: getattr(self, k) for k in vars(self) if k.startswith("clinical_gain")}
        return {k: v for k, v in numbers.items() if v is not None}


def entry(
    figures: dict[str, Any],
    task: str,
    mode: str,
    share: float = 1.0,
    leads: str = "",
    *,
    tested_on: str | None = None,
    repetitions: dict[str, dict[str, Any]] | None = None,
    objective: str = "",
    sets: tuple[str, str] = ("", ""),
    split: str = "test",
    baseline_probe: str = "linear",
) -> Entry:
    """Create the leaderboard entry of a model from the results of ``evaluate``.

    Args:
        figures: results of ``evaluate``.
        task, mode, share, leads: task, fine-tuning mode, share of training patients and lead set of the setting.
        tested_on: lead set of the test recordings, if it differs from that of training.
        repetitions: results of ``score_repetitions``, if there are several draws of the share or of the folds.
        objective: objective of pretraining.
        sets: names of the sets that the model was fine-tuned on and tested on.
        split: split of the results.
        baseline_probe: probe of both baselines, ``linear`` or ``mlp``.
    """
    metric = figures["primary"]
    own = figures["models"][mode][split]["macro"]
    value = own[metric]
    compared: dict[str, float | None] = {}
    clinical = clinical_of(figures["models"])
    if repetitions:
        value = repetitions[metric]
    for name, model in (("random", BASELINE), ("clinical", clinical)):
        prefix = "" if name == "random" else f"{name}_"
        if repetitions:
            versus = value.get("versus", {}).get(model, {})
            compared |= {name: versus.get("value"), **_gain(versus.get("paired", {}), prefix)}
        elif model in figures["models"]:
            other = figures["models"][model][split]["macro"][metric]
            compared |= {name: other["value"], f"{name}_low": other["low"], f"{name}_high": other["high"]}
            compared |= _gain(figures["paired"][split][model][metric], prefix)
    auprc = repetitions.get("auprc") if repetitions else own.get("auprc")
    return Entry(
        task, mode, share, leads, leads if tested_on is None else tested_on,
        metric, figures["splits"][split]["records"], value["value"], value["low"], value["high"],
        repetitions=len(value["repetitions"]) if repetitions else 1,
        auprc=None if auprc is None else auprc["value"],
        **compared, objective=objective, set=sets[0], tested_set=sets[1], clinical_model=clinical or "",
        test_digest=figures["splits"][split]["digest"], baseline_probe=baseline_probe,
    )  # fmt: skip


def _gain(paired: dict[str, Any], prefix: str = "") -> dict[str, float | None]:
    names = {"gain": "difference", "gain_low": "low", "gain_high": "high", "gain_p": "p"}
    return {prefix + ours: paired.get(theirs) for ours, theirs in names.items()}


def leaderboard_rows(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return the entries as JSON-compatible dictionaries, in the order of the Markdown table."""
    return [asdict(e) for e in _ordered(entries)]


def leaderboard(entries: Sequence[Entry]) -> str:
    """Return a Markdown table, sorted by task, test set, share (largest first), test leads and metric (best first).

    Sets and objectives are shown if there is more than one, and the clinical baseline if an entry has one. Lead sets are in
    the order in which they first occur as test leads in ``entries``.
    """
    named = len({name for e in entries for name in (e.set, e.tested_set)}) > 1
    compared = len({e.objective for e in entries if e.mode != "scratch"}) > 1
    clinical = any(e.clinical_model for e in entries)
    heads = (
        *(("set",) if named else ()),
        *(("task", "pretraining", "mode") if compared else ("task", "mode")),
        *("labels", "leads", "test recordings", "metric"),
        *("value (95 % interval)", "macro AUPRC", "random encoder", "gain (interval, p)"),
        *(("clinical baseline", "gain over it (interval, p)") if clinical else ()),
    )
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for e in _ordered(entries):
        leads = e.trained_on if e.trained_on == e.tested_on else f"{e.trained_on}, tested on {e.tested_on}"
        share = f"{100 * e.share:g} %" + (f", mean of {e.repetitions}" if e.repetitions > 1 else "")
        gain = "-" if e.random is None else _difference(e.gain, e.gain_low, e.gain_high, e.gain_p)
        more = ""
        if clinical:
            low, high, p = e.clinical_gain_low, e.clinical_gain_high, e.clinical_gain_p
            shown = "-" if e.clinical is None else _difference(e.clinical_gain, low, high, p)
            more = f" {_maybe(e.clinical)}{f' ({e.clinical_model})' if e.clinical_model else ''} | {shown} |"
        across = e.set if e.set == e.tested_set else f"{e.set}, tested on {e.tested_set}"
        sets = f"| {across} " if named else ""
        pretraining = f"| {'-' if e.mode == 'scratch' else e.objective} " if compared else ""
        lines.append(
            f"{sets}| {e.task} {pretraining}| {e.mode} | {share} | {leads or 'all'} | {e.records} | {e.metric_title} "
            f"| {_number(e.value)} ({_number(e.low)} to {_number(e.high)}) | {_maybe(e.auprc)} | {_maybe(e.random)} "
            f"| {gain} |{more}"
        )
    return "\n".join(lines) + "\n"


def _ordered(entries: Sequence[Entry]) -> list[Entry]:
    places = {leads: place for place, leads in enumerate(dict.fromkeys(e.tested_on for e in entries))}

    def rank(e: Entry) -> tuple[Any, ...]:
        worst = e.value is None
        value = 0.0 if e.value is None else e.value
        better = -value if metric_named(e.metric).higher_is_better else value
        return (
            e.task,
            e.set != e.tested_set,
            e.tested_set,
            -e.share,
            places[e.tested_on],
            e.trained_on != e.tested_on,
            worst,
            better,
        )

    return sorted(entries, key=rank)


def _difference(value: float | None, low: float | None, high: float | None, p: float | None) -> str:
    return f"{_number(value, '+')} ({_number(low, '+')} to {_number(high, '+')}, p {_number(p)})"


def _number(value: float | None, sign: str = "") -> str:
    return "undefined" if value is None else f"{value:{sign}.3f}"


def _maybe(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
