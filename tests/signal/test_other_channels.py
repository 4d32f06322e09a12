"""Names of channels that are not one of the twelve leads."""

from __future__ import annotations

import pytest

from ecgssl.signal.other_channels import channel_name, channels_left_out, left_out_text


@pytest.mark.parametrize(
    "name", ["V3R", "v8", "vx", "X", "MLII", "CM5", "ECG 3", "lead code 11", "Resp", "Pleth", "C3"]
)
def test_common_signal_names_are_shown(name: str) -> None:
    assert channel_name(f" {name} ", 4) == name


@pytest.mark.parametrize(
    "name", ["", "Meyer", "Kim", "MRN 4711", "1234567", "1957-03-12", "ECG Meyer", "V3R Meyer", "DOE^J"]
)
def test_any_other_text_is_replaced_by_the_number_of_the_channel(name: str) -> None:
    assert channel_name(name, 4) == "channel 4"


def test_channels_in_the_order_of_the_file() -> None:
    assert channels_left_out(["I", "V3R", "II", "Meyer"], [0, 2]) == ("V3R", "channel 4")
    assert channels_left_out(["I"], [0]) == ()


def test_a_long_list_is_shortened() -> None:
    assert left_out_text(()) == ""
    assert left_out_text(("V3R",)) == "channels left out: V3R"
    assert left_out_text([f"channel {i}" for i in range(30)]).endswith("channel 19 and 10 more")
