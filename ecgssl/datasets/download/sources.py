"""Where each public set is published, and what a user must do where we may not fetch it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Source:
    """One release on the web.

    Args:
        base_url: folder of the release, with a slash at its end; for ``zenodo`` the record's API address.
        listing: how the release lists its files with checksums: a ``SHA256SUMS.txt``, or Zenodo's record (MD5).
        needs: patterns of paths without which the set cannot be loaded; always fetched, whatever subset is asked for.
        subsets: patterns of paths by the name a user may ask for.
        default: patterns fetched when no subset is named; everything where empty.
        manual: what to do instead, for sets that we do not fetch; empty for those we do.
        advice: what to know before fetching.
    """

    base_url: str
    listing: Literal["sha256sums", "zenodo"] = "sha256sums"
    needs: tuple[str, ...] = ()
    subsets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    default: tuple[str, ...] = ()
    manual: str = ""
    advice: str = ""


_PHYSIONET = "https://physionet.org/files/"
_CHALLENGE = "training/{}/*"
_CINC2020 = ("cpsc_2018", "cpsc_2018_extra", "st_petersburg_incart", "ptb", "ptb-xl", "georgia")
_CINC2021 = (*_CINC2020, "chapman_shaoxing", "ningbo")

SOURCES: dict[str, Source] = {
    "ptbxl": Source(
        _PHYSIONET + "ptb-xl/1.0.3/",
        needs=("*.csv", "LICENSE.txt"),
        subsets={"100": ("records100/*",), "500": ("records500/*",)},
    ),
    "mimic_iv_ecg": Source(
        _PHYSIONET + "mimic-iv-ecg/1.0/",
        needs=("record_list.csv", "machine_measurements*.csv", "LICENSE.txt"),
        advice="1.6 million small files: 'aws s3 sync --no-sign-request s3://physionet-open/mimic-iv-ecg/1.0/ DIR', or the zip "
        "on its page, is far quicker. Read the LICENSE in your copy: pages disagree on whether an agreement is needed",
    ),
    "ecg_arrhythmia": Source(_PHYSIONET + "ecg-arrhythmia/1.0.0/", needs=("*.csv", "LICENSE.txt")),
    "ningbo": Source(_PHYSIONET + "ecg-arrhythmia/1.0.0/", needs=("*.csv", "LICENSE.txt")),
    "cpsc2018": Source(
        _PHYSIONET + "challenge-2021/1.0.3/",
        needs=("LICENSE.txt",),
        default=(_CHALLENGE.format("cpsc_2018"),),
        advice="the original MATLAB release is no longer served; this is the copy in the CinC Challenge 2021",
    ),
    "georgia": Source(
        _PHYSIONET + "challenge-2021/1.0.3/", needs=("LICENSE.txt",), default=(_CHALLENGE.format("georgia"),)
    ),
    "cinc2020": Source(
        _PHYSIONET + "challenge-2020/1.0.2/",
        needs=("LICENSE.txt",),
        subsets={name: (_CHALLENGE.format(name),) for name in _CINC2020},
    ),
    "cinc2021": Source(
        _PHYSIONET + "challenge-2021/1.0.3/",
        needs=("LICENSE.txt",),
        subsets={name: (_CHALLENGE.format(name),) for name in _CINC2021},
    ),
    "ptb": Source(_PHYSIONET + "ptbdb/1.0.0/", needs=("RECORDS",)),
    "incart": Source(_PHYSIONET + "incartdb/1.0.0/", needs=("RECORDS",)),
    "ludb": Source(_PHYSIONET + "ludb/1.0.1/", needs=("*.csv", "LICENSE.txt", "RECORDS")),
    "code15": Source(
        "https://zenodo.org/api/records/4916206",
        listing="zenodo",
        needs=("exams.csv",),
        subsets={f"part{i}": (f"exams_part{i}.*",) for i in range(18)},
        advice="the parts are zip archives; they are unpacked beside themselves when verified",
    ),
    "sph": Source(
        "https://springernature.figshare.com/collections/5779802",
        manual="Open the page above, download metadata.csv, code.csv and records.tar.gz (an uncompressed tar in spite of its "
        "name), and unpack it: 'tar -xf records.tar.gz'",
    ),
    "echonext": Source(
        "https://physionet.org/content/echonext/",
        manual="Sign in to PhysioNet, accept the restricted licence on the page above, and download with your own account, "
        "for example 'wget -r -N -c -np --user NAME --ask-password' and the address of the files on that page. The licence "
        "forbids sharing: keep DVC remotes private",
    ),
}
"""By the names of ``ecgssl.datasets.public.registry``."""
