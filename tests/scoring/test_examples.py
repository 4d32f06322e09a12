"""The examples in docs/python-api.md and in the docstrings of the Python interface run and print what they show."""

from __future__ import annotations

import doctest
import importlib
import inspect
import os
from pathlib import Path

import pytest
from api_workplace import make_models, make_workplace

import ecgssl
from ecgssl.encoders import shipped

PAGE = Path(__file__).parents[2] / "docs/python-api.md"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
ORDER = ("preprocess", "pretrain", "finetune", "evaluate")
"""Functions whose examples use the output of the function before."""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """Make recordings and models, and run the tests of this file in their folder."""
    folder, models = tmp_path_factory.mktemp("api"), tmp_path_factory.mktemp("models")
    make_workplace(folder)
    make_models(models)
    before = Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipped, "FOLDER", models)
        os.chdir(folder)
        yield folder
    os.chdir(before)


def examples() -> list[tuple[str, object]]:
    """Return every object of the interface that can have a docstring, and the public methods of its classes."""
    found: list[tuple[str, object]] = []
    for name in sorted(ecgssl.__all__, key=lambda name: (ORDER.index(name) if name in ORDER else -1, name)):
        thing = getattr(ecgssl, name)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        found.append((name, thing))
        if inspect.isclass(thing) and thing.__module__.startswith(("ecgssl.io", "ecgssl.scoring")):
            methods = [(key, value) for key, value in vars(thing).items() if inspect.isfunction(value)]
            found += [(f"{name}.{key}", value) for key, value in methods if not key.startswith("_")]
    return found


def run(name: str, text: str) -> int:
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    lines: list[str] = []
    runner.run(test, out=lines.append)
    assert not runner.failures, "".join(lines)
    return len(test.examples)


def test_the_examples_of_docstrings_run(workplace):
    counts = {name: run(name, thing.__doc__ or "") for name, thing in examples()}
    results = importlib.import_module("ecgssl.scoring.results")
    counts["Results"] = run("Results", results.Results.__doc__)
    without = {name for name, count in counts.items() if not count}
    # their parameters are described in docs/parameters.md
    assert without <= {
        "QualityParams",
        "SignalSpec",
        "Embedder.fit",
        "Embedder.transform",
        "Embedder.get_feature_names_out",
    }
    assert len(counts) > 15


def test_the_examples_of_the_page_run(workplace):
    assert run("python-api.md", PAGE.read_text(encoding="utf-8")) > 25


def test_every_object_is_on_the_page():
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in ecgssl.__all__ if f"ecgssl.{name}" not in text and name != "__version__"] == []
