"""Lead subsets: a model gets the same input as from preprocessing of a recording with only these leads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgssl.errors import InputError
from ecgssl.signal.lead_sets import LEAD_SETS, named_leads, shown_leads
from ecgssl.signal.leads import LEADS, arrange


@given(
    recorded=st.lists(st.sampled_from(LEADS), min_size=1, unique=True),
    contract=st.lists(st.sampled_from(LEADS), min_size=1, unique=True),
)
def test_shown_leads_are_those_that_arrange_finds(recorded, contract):
    _, mask = arrange(np.ones((len(recorded), 3), dtype=np.float32), recorded, contract)
    there = tuple(lead for lead, has in zip(contract, mask, strict=True) if has)
    if there:
        assert shown_leads(recorded, contract) == there
    else:
        with pytest.raises(InputError, match="none of them can be derived"):
            shown_leads(recorded, contract)


def test_the_sets():
    sizes = {name: len(shown_leads(leads)) for name, leads in LEAD_SETS.items()}
    assert sizes == {"12lead": 12, "8lead": 12, "6lead": 6, "3lead": 7, "2lead": 6, "1lead": 1}
    assert all(len(leads) == int(name.removesuffix("lead")) for name, leads in LEAD_SETS.items())


def test_names_and_sets():
    assert named_leads("3lead") == ("I", "II", "V2")
    assert named_leads(" i, avr,MDC_ECG_LEAD_V2 ") == ("I", "aVR", "V2")
    with pytest.raises(InputError) as caught:
        named_leads("I,II,I,V9")
    assert [p.field for p in caught.value.problems] == ["V9", "I"]
    with pytest.raises(InputError, match="contains no lead name"):
        named_leads(",")
