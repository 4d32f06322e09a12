"""Text descriptions of the calibrators and thresholds of a classifier."""

from __future__ import annotations

from collections.abc import Iterable

from ecgssl.evaluation.calibration.calibrators import Calibrator
from ecgssl.evaluation.calibration.decision import KEPT, Decision, LabelDecision
from ecgssl.evaluation.calibration.thresholds import YOUDEN

_SPLITS = {"val": "validation"}
_CRITERIA = {YOUDEN: "Youden's index"}
_NO_THRESHOLDS = {
    "multiclass": "none; the most probable class is the prediction",
    "regression": "none; the output is a number",
}


def is_fitted(calibrator: Calibrator) -> bool:
    """Return whether a calibrator was fitted: not ``none`` and, for a regression, not the identity."""
    if calibrator.method == "linear":
        return (calibrator.slope, calibrator.intercept) != (1.0, 0.0)
    return calibrator.method != "none"


def has_calibrator(decision: Decision) -> bool:
    """Return whether at least one label has a fitted calibrator."""
    return any(is_fitted(label.calibrator) for label in decision.labels)


def has_threshold(decision: Decision) -> bool:
    """Return whether at least one threshold has a value."""
    return any(cut.value is not None for label in decision.labels for cut in label.thresholds.values())


def has_no_recordings(decision: Decision) -> bool:
    """Return whether there were no recordings to fit on, as in a cross-validation, which has no validation split."""
    return bool(decision.fitted_on.get("records") == 0)


def fitted_on_text(decision: Decision) -> str:
    """Describe the recordings used for the fit, for example ``validation (52 recordings of 26 patients)``."""
    about = decision.fitted_on
    name = str(about.get("split", "recordings that are not recorded"))
    name = _SPLITS.get(name, name)
    records, patients = about.get("records"), about.get("patients")
    if not isinstance(records, int):
        return name
    return f"{name} ({records:,} recordings" + (f" of {patients:,} patients)" if isinstance(patients, int) else ")")


def calibration_text(decision: Decision) -> str:
    """Describe the calibration of all labels: method, data used for the fit, and the reason if no calibrator was fitted.

    Examples: ``platt, fitted on validation (52 recordings of 26 patients)``; ``none (3 positive and 40 negative, 10 of
    each needed)``.
    """
    if has_no_recordings(decision) and not has_calibrator(decision):
        return f"none (no recordings of {fitted_on_text(decision).partition(' (')[0]} to fit on)"
    fitted, kept, without = [], [], []
    for label in _distinct(decision):
        calibrator = label.calibrator
        if calibrator.reason.startswith(KEPT):
            kept.append((label.name, f"{calibrator.method}, {calibrator.reason}"))
        elif is_fitted(calibrator):
            fitted.append((label.name, calibrator.method + (f" ({calibrator.reason})" if calibrator.reason else "")))
        else:
            without.append((label.name, f"none ({calibrator.reason or 'not requested'})"))
    several = len({text for _, text in (*fitted, *kept, *without)}) > 1
    parts = []
    if fitted:
        parts.append(f"{_by_text(fitted, several)}, fitted on {fitted_on_text(decision)}")
    parts += [_by_text(found, several) for found in (kept, without) if found]
    return "; ".join(parts)


def threshold_text(decision: Decision) -> str:
    """Describe the thresholds of all labels: criteria, data used to choose them, and the reason if none was chosen."""
    if decision.kind != "multilabel":
        return _NO_THRESHOLDS[decision.kind]
    if not any(label.thresholds for label in decision.labels):
        return "none (not requested)"
    if has_no_recordings(decision) and not has_threshold(decision):
        return f"none (no recordings of {fitted_on_text(decision).partition(' (')[0]} to choose them on)"
    chosen, without = [], []
    for label in decision.labels:
        # list Youden's threshold first; decision.json stores the names in alphabetical order
        cuts = sorted(label.thresholds.items(), key=lambda pair: (pair[0] != YOUDEN, pair[0]))
        names = [criterion_text(name) for name, cut in cuts if cut.value is not None]
        if names:
            chosen.append((label.name, ", ".join(names)))
        reasons: dict[str, list[str]] = {}
        for name, cut in cuts:
            if cut.value is None:
                reasons.setdefault(cut.reason, []).append(criterion_text(name))
        for reason, lacking in reasons.items():
            of = f" by {', '.join(lacking)}" if names else ""
            without.append((label.name, f"none{of} ({reason})"))
    several = len({text for _, text in (*chosen, *without)}) > 1
    parts = []
    if chosen:
        parts.append(f"{_by_text(chosen, several)}, chosen on {_thresholds_on(decision)}")
    if without:
        parts.append(_by_text(without, several))
    return "; ".join(parts)


def criterion_text(name: str) -> str:
    """Return the criterion of a named threshold as text, such as ``Youden's index`` or ``sensitivity 0.90``."""
    kind, _, required = name.partition("_")
    return f"{_CRITERIA.get(kind, kind)} {required}".strip()


def _thresholds_on(decision: Decision) -> str:
    if decision.fitted_on.get("thresholds") == "as frozen":
        return "validation of the first site and unchanged"
    kept = [label.name for label in decision.labels if label.calibrator.reason.startswith(KEPT)]
    note = f"; those of {', '.join(kept)} on validation of the first site" if kept else ""
    return fitted_on_text(decision) + note


def _distinct(decision: Decision) -> Iterable[LabelDecision]:
    """Return the labels to describe: only the first of a multiclass task, because its classes share a calibrator."""
    return decision.labels[:1] if decision.kind == "multiclass" else decision.labels


def _by_text(found: list[tuple[str, str]], several: bool) -> str:
    """Join the distinct texts. If ``several`` is true, each text is preceded by the names of its labels."""
    names: dict[str, list[str]] = {}
    for name, text in found:
        names.setdefault(text, []).append(name)
    if not several:
        return next(iter(names))
    return "; ".join(f"{', '.join(of_text)}: {text}" for text, of_text in names.items())
