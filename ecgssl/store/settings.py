"""Comparison of parameter overrides (``--set``) with the settings of an existing store or model.

Commands that use an existing store or model take its settings, so an override that differs would be ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ecgssl.config import Params
from ecgssl.errors import InputError, Problem
from ecgssl.signal.quality_params import QualityParams
from ecgssl.signal.spec import SignalSpec
from ecgssl.store.store import Store

_HOW_TO_WRITE = ("workers", "backend", "scheduler", "max_rejected_fraction")
"""Keys of section ``store`` that do not change a stored recording."""


def store_settings(store: Store) -> dict[str, Any]:
    """Return the settings of a store as a nested dictionary with the sections and keys of ``params.yaml``.

    The entry ``sets`` has the keys of the store's own set, without its name.
    """
    about = store.about
    return {
        "signal": store.spec.to_dict() | {"windows": about.get("windows", "first")},
        "quality": {"min_duration": store.spec.duration} | about.get("quality", {}),
        "store": {name: about[name] for name in ("lsb", "shard_recordings") if name in about},
        "sets": {"reader": about.get("cohort", {}).get("name"), "overlap": about.get("overlap", {}).get("policy")},
    }


def model_settings(spec: SignalSpec, quality: QualityParams | None = None, lsb: float | None = None) -> dict[str, Any]:
    """Return the settings of a model or bundle for ``require_settings``; arguments that are ``None`` are omitted."""
    settings: dict[str, Any] = {"signal": spec.to_dict()}
    if quality is not None:
        settings["quality"] = quality.model_dump(mode="json")
    if lsb is not None:
        settings["store"] = {"lsb": lsb}
    return settings


def require_settings(
    overrides: Sequence[str] | None, params: Params, settings: Mapping[str, Any], where: str, fix: str
) -> None:
    """Raise an error if overrides differ from the settings of an existing store or model.

    Args:
        overrides: ``section.key=value`` strings of the command line.
        params: parameters after the overrides are applied.
        settings: result of ``store_settings`` or ``model_settings``. Overrides of other sections, and
            of keys in ``_HOW_TO_WRITE``, are not checked.
        where: path of the store or model, for messages.
        fix: how to obtain a store or model with other settings.

    Raises:
        InputError: the message lists all overrides that differ, with both values.
    """
    given = params.model_dump(mode="json")
    problems = []
    for item in overrides or ():
        keys = item.partition("=")[0].split(".")
        if keys[0] not in settings or (keys[0] == "store" and keys[-1] in _HOW_TO_WRITE):
            continue
        recorded = [keys[0], *keys[2:]] if keys[0] == "sets" else keys
        for key, value, there in _differences(".".join(keys), _at(given, keys), _at(settings, recorded)):
            made_with = "does not record this setting" if there is None else f"was made with {there!r}"
            what = f"is {value!r}, but {where} {made_with}, and the override would be ignored"
            problems.append(Problem("--set", key, what, f"Remove the override, or {fix}"))
    if problems:
        raise InputError(problems)


def require_store_settings(overrides: Sequence[str] | None, params: Params, store: Store) -> None:
    """Raise an error if overrides differ from the settings of a store; see ``require_settings``."""
    fix = "make a store with this setting (ecgssl preprocess)"
    require_settings(overrides, params, store_settings(store), str(store.path), fix)


def _at(values: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def _differences(key: str, value: Any, there: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the key and both values of each difference; the second is ``None`` if the setting is not recorded."""
    if isinstance(value, dict) and isinstance(there, Mapping):
        for name, inner in value.items():
            yield from _differences(f"{key}.{name}", inner, there.get(name))
    elif value != there:
        yield key, value, there
