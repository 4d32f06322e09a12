"""The PhysioNet/CinC Challenge 2020."""

from __future__ import annotations

from ecgssl.datasets.public.challenge import Challenge


class CinC2020(Challenge):
    """The training set of 2020 (Perez Alday et al. 2020), all of which is also in that of 2021."""

    name = "cinc2020"
    title = "PhysioNet/CinC Challenge 2020"
    citation = "Perez Alday et al. 2020, doi:10.1088/1361-6579/abc960"
    url = "https://physionet.org/content/challenge-2020/1.0.2/"
    label_sets = ("scored2020", "scored2021", "all")
    subset_names = ("cpsc_2018", "cpsc_2018_extra", "st_petersburg_incart", "ptb", "ptb-xl", "georgia")
