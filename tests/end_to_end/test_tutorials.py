"""The tutorials give the outputs and figures that they show. ``python docs/run_tutorials.py`` writes those of a run."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

REPOSITORY = Path(__file__).parents[2]
TUTORIALS = runpy.run_path(str(REPOSITORY / "docs/run_tutorials.py"))
agrees, figures, workplace = (TUTORIALS[name] for name in ("agrees", "figures", "workplace"))
PAGES = TUTORIALS["tutorials"]()
NOTEBOOK = runpy.run_path(str(REPOSITORY / "docs/tutorial_notebook.py"))


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


def test_all_tutorials_have_steps_and_only_nodejs_may_be_left_out():
    session = TUTORIALS["Session"]()
    steps = [len(list(session.steps(page.read_text(encoding="utf-8")))) for page in PAGES]
    assert len(steps) == 6
    assert all(count >= 5 for count in steps)
    assert len(session.left_out) <= 1
    assert all(line.startswith("node examples/node/score.mjs ") for line in session.left_out)


def test_the_notebook_has_text_code_and_outputs_of_its_page():
    page = REPOSITORY / "docs/tutorials/2-embed-and-classify.md"
    made = NOTEBOOK["notebook"](page)
    written = page.with_suffix(".ipynb").read_text(encoding="utf-8")
    assert written == NOTEBOOK["as_json"](made), "run python docs/tutorial_notebook.py"
    assert len(written) < 300_000
    # independent of the writer: parse the committed file, and compare with the steps of the page
    cells = json.loads(written)["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells)
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    steps = list(TUTORIALS["Session"]().steps(page.read_text(encoding="utf-8")))
    sources = "\n".join("".join(cell["source"]) for cell in code)
    assert sources == "\n".join(("!" * text.startswith("ecgssl") + text).rstrip("\n") for text, _, _ in steps)
    outputs = [output for cell in code for output in cell["outputs"]]
    shown = ["".join(output.get("text") or output["data"]["text/plain"]).strip() for output in outputs]
    assert shown == [stated.strip() for _, stated, _ in steps if stated]
    assert {"execute_result", "stream"} == {output["output_type"] for output in outputs}


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
        ((_, _, other),) = TUTORIALS["Session"]().steps("```console\n$ python examples/python/none.py\n```\n")
        with pytest.raises(RuntimeError, match=r"none\.py: exit code 2"):
            other()
