"""The tutorials give the outputs and figures that they show. ``python docs/run_tutorials.py`` writes those of a run."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

REPOSITORY = Path(__file__).parents[2]
TUTORIALS = runpy.run_path(str(REPOSITORY / "docs/run_tutorials.py"))
agrees, figures, workplace = (TUTORIALS[name] for name in ("agrees", "figures", "workplace"))
PAGES = TUTORIALS["tutorials"]()


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """Return the session of all tutorials, in a folder that they share; each file is run in order."""
    with workplace(tmp_path_factory.mktemp("tutorials")):
        yield TUTORIALS["Session"]()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_outputs_are_those_of_a_run(page, session):
    text = page.read_text(encoding="utf-8")
    for source, stated, run in session.steps(text):
        found = run()
        assert agrees(stated, found), f"{page.name}: {source}\nstated:\n{stated}\nfound:\n{found}"
    for name in figures(text):
        shown, made = imread(page.with_name(name)), imread(name)
        assert shown.shape == made.shape, name
        assert np.abs(shown - made).mean() < 0.01, f"{name}: run python docs/run_tutorials.py"


def test_the_first_tutorials_have_steps():
    steps = [len(list(TUTORIALS["Session"]().steps(page.read_text(encoding="utf-8")))) for page in PAGES]
    assert len(steps) == 6
    assert all(count >= 5 for count in steps[:4])


def test_numbers_may_differ_by_the_tolerance_and_words_may_not():
    assert agrees("AUROC 0.91 (0.80 to 1.00)\n", "AUROC 0.92  (0.79 to 1.00)\n")
    assert not agrees("AUROC 0.91", "AUROC 0.97")
    assert not agrees("AUROC 0.91", "AUPRC 0.91")
    assert not agrees("186 rows", "185 rows")
    assert not agrees("", "a word")
    assert agrees("0.10 (p 0.012)", "0.10 (p 0.475)")
    assert agrees("68 stored, ... recordings/s", "68 stored, 7.9 s, 8.6 recordings/s")


def test_a_wrong_output_and_a_failed_command_are_found(tmp_path):
    page = "```pycon\n>>> 1 + 1\n3\n```\n\n```console\n$ ecgssl check no-such-table.csv\n```\n"
    with workplace(tmp_path):
        (source, stated, run), (_, _, command) = TUTORIALS["Session"]().steps(page)
        assert (source, stated, run()) == ("1 + 1\n", "3\n", "2\n")
        with pytest.raises(RuntimeError, match=r"exit code 2[\s\S]*no-such-table\.csv"):
            command()
