"""Parameter section ``synthetic``: size of a simulated dataset, and how its hospital differs from others."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ecgssl.params_base import Positive, Section

Finding = Literal[
    "af",
    "sinus_brady",
    "sinus_tachy",
    "first_degree_avb",
    "wide_qrs",
    "st_elevation",
    "t_inversion",
    "high_voltage",
    "ectopy",
]
"""Finding of a simulated recording; each one is a target."""

Factor = Annotated[float, Field(ge=0, le=10)]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$")]


class SyntheticParams(Section):
    """Size of a simulated dataset, and how its hospital differs from others. The defaults are those of one hospital.

    Args:
        patients: number of patients.
        recordings_per_patient: (smallest, largest) number of recordings per patient.
        sampling_rate: sampling rate in Hz.
        duration: duration of a recording in s.
        first_patient: number of the first patient. Patients with the same seed and number are the same person. Sets of one
            run therefore need separate ranges, such as 0 to 399 and 400 to 599.
        age: mean and standard deviation of the age in years, before it is limited to 18 to 92. Most findings are more
            frequent at higher age.
        prevalence: factor for the probability of a finding by target, such as ``{af: 2, ectopy: 0.5}``; 1 for findings
            that are not listed.
        noise: factor for all levels of electrode noise.
        mains_frequency: mains frequency in Hz; 50 or 60 at random for each recording by default.
        site, device: text of the column of this name in the manifest; without it there is no such column.
        labelled: false leaves the targets out of the manifest, for a corpus that is only used for pretraining.
    """

    patients: Positive = 400
    recordings_per_patient: tuple[Positive, Positive] = (1, 3)
    sampling_rate: Annotated[float, Field(ge=100, le=1000)] = 500.0
    duration: Annotated[float, Field(ge=5, le=60)] = 10.0
    first_patient: Annotated[int, Field(ge=0)] = 0
    age: tuple[Annotated[float, Field(ge=18, le=92)], Annotated[float, Field(ge=0, le=40)]] = (60.0, 16.0)
    prevalence: dict[Finding, Factor] = {}
    noise: Factor = 1.0
    mains_frequency: Literal[50, 60] | None = None
    site: Label | None = None
    device: Label | None = None
    labelled: bool = True
