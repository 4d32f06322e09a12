"""The chart of results shows the figures of the tables."""

from __future__ import annotations

import pandas as pd
import pytest
from results_chart import LABEL_SETS, PUBLISHED, ROWS, draw, measured_rows


def test_every_point_is_a_figure_of_the_table():
    """Points of a row lie at its macro AUROC and at its label set; quoted results at theirs."""
    measured, published = measured_rows(), pd.read_csv(PUBLISHED)
    upper, lower = draw(measured, published).axes
    whole = measured[(measured["leads"] == "12lead") & (measured["share"] == 1.0)]
    for row, (name, _, _) in ROWS.items():
        drawn = next(c for c in upper.containers if c.get_label() == name).lines[0].get_xydata()
        found = {LABEL_SETS[round(y)]: x for x, y in drawn}
        expected = whole[whole["row"] == row].set_index("labels")["auroc"].to_dict()
        assert found == pytest.approx(expected)
    quoted = next(line for line in upper.lines if "quoted" in str(line.get_label())).get_xdata()
    known = published[published["method"] == "xresnet1d101, supervised"]["value"]
    assert sorted(quoted) == pytest.approx(sorted(known))
    by_share = measured[(measured["row"] == "linear:tiny") & (measured["labels"] == "all")]
    curves = [sorted(line.get_ydata()) for line in lower.lines]
    assert sorted(by_share["auroc"]) in [pytest.approx(curve) for curve in curves]
