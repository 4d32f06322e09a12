"""The Georgia 12-lead set, which is published as a part of the PhysioNet/CinC Challenges only."""

from __future__ import annotations

from ecgssl.datasets.public.challenge import Challenge


class Georgia(Challenge):
    """The folder ``training/georgia`` of a release of the Challenge (Perez Alday et al. 2020)."""

    name = "georgia"
    title = "Georgia"
    citation = "Perez Alday et al. 2020, doi:10.1088/1361-6579/abc960"
    url = "https://physionet.org/content/challenge-2021/1.0.3/"
    label_sets = ("scored2021", "scored2020", "all")
    folders = ("georgia",)
