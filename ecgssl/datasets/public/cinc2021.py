"""The PhysioNet/CinC Challenge 2021."""

from __future__ import annotations

from ecgssl.datasets.public.challenge import Challenge


class CinC2021(Challenge):
    """The training set of 2021 (Reyna et al. 2021)."""

    name = "cinc2021"
    title = "PhysioNet/CinC Challenge 2021"
    citation = "Reyna et al. 2021, doi:10.23919/CinC53138.2021.9662687"
    url = "https://physionet.org/content/challenge-2021/1.0.3/"
    label_sets = ("scored2021", "scored2020", "all")
    subset_names = (
        *("cpsc_2018", "cpsc_2018_extra", "st_petersburg_incart", "ptb", "ptb-xl", "georgia"),
        *("chapman_shaoxing", "ningbo"),
    )
