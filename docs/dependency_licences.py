"""Table of all dependencies with their licences, generated from locks/dev.txt and the installed packages.

``python docs/dependency_licences.py`` rewrites ``docs/dependencies.md``. A test fails if the table is out of date.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/dependencies.md"
INSTALLS = ("base", "serve", "sign", "train", "pipeline", "vendor", "hub", "dask", "ray", "bench", "docs", "dev")
"""Installs in the order of the table. A package is listed under the first install that contains it."""
BY_HAND = {
    "cuda-bindings": "LicenseRef-NVIDIA-SOFTWARE-LICENSE",
    "cuda-pathfinder": "Apache-2.0",
    "cuda-toolkit": "NVIDIA proprietary",
    "httpx2-jsfetch": "BSD-3-Clause",
    "huey": "MIT",
    "pywin32": "PSF-2.0",
    "setuptools": "MIT",
    "skops": "MIT",
    "triton": "MIT",
    "waitress": "ZPL-2.1",
}
"""Licences of packages that declare none, or that Linux without CUDA does not install, from their pages."""
_SPDX = {
    "3-clause bsd license": "BSD-3-Clause",
    "dual license": "Apache-2.0 or BSD-3-Clause",
    "isc license": "ISC",
    "mit license": "MIT",
    "new bsd": "BSD-3-Clause",
    "psfl": "PSF-2.0",
    "the mit license (mit)": "MIT",
    "apache": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache software license 2.0": "Apache-2.0",
    "bsd license": "BSD",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "isc license (iscl)": "ISC",
    "python software foundation license": "PSF-2.0",
}
_LONGEST = 60
_TEXT = """\
# Dependencies and their licences

*Generated from `locks/dev.txt` and the installed packages by `python docs/dependency_licences.py`. Do not edit.*

`constraints.txt` pins the version of each package. `locks/score.txt` (base, `serve`, `sign`) and `locks/dev.txt` (everything)
have the same versions and the SHA-256 of each file:

    pip install --require-hashes -r locks/score.txt && pip install --no-deps .

`locks/dev.txt` has the files of the public package index. There, torch for Linux is the CUDA build. For the CPU build, install
with `constraints.txt`. After a change of a dependency, run `locks/update.sh` and the command above. The CI workflow checks
the pinned versions for known vulnerabilities (`.ci/audit`).

ecgssl itself has the Apache-2.0 licence and contains no code of these packages. The tables state what the packages declare.

**GPL.** DVC (extra `pipeline`) installs `pygit2` (GPL version 2 with an exception for linking) and `grandalf` (GPL version 2 or
EPL version 1). ecgssl imports neither, and a scoring server contains neither.

Table: packages that declare a GPL licence, alone or as one of two. ecgssl imports none of them.

| package | licence | install | through |
|---|---|---|---|
{gpl}

Table: packages by install. "Through" is the dependency of ecgssl that brings the package.

| package | version | licence | install | through |
|---|---|---|---|---|
{rows}

Table: packages of the lock files that are installed only with CUDA or on other platforms. Licences from their pages.

| package | version | licence |
|---|---|---|
{others}
"""


def pins(path: Path) -> dict[str, str]:
    """Return the pinned versions in a constraints or lock file, by canonical name."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", path.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def licence(package: Distribution) -> str:
    """Return the licence that a package declares: SPDX expression, short text, or classifier."""
    fields = package.metadata
    if by_hand := BY_HAND.get(canonicalize_name(fields["Name"])):
        return by_hand
    if expression := fields.get("License-Expression"):
        return expression
    text = " ".join((fields.get("License") or "").split())
    classified = [
        line.split(" :: ")[-1] for line in fields.get_all("Classifier") or [] if line.startswith("License ::")
    ]
    stated = text if 0 < len(text) <= _LONGEST else " or ".join(classified)
    return _SPDX.get(stated.lower(), stated).replace("|", "or") or "not stated"


def closure(requirements: Iterable[str]) -> set[str]:
    """Return the canonical names of all installed packages that the requirements need."""
    waiting = [Requirement(line) for line in requirements]
    seen: set[tuple[str, tuple[str, ...]]] = set()
    while waiting:
        requirement = waiting.pop()
        key = canonicalize_name(requirement.name), tuple(sorted(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        for line in distribution(requirement.name).requires or []:
            needed = Requirement(line)
            wanted = needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in ("", *key[1]))
            if wanted:
                waiting.append(needed)
    return {name for name, _ in seen}


def page() -> str:
    """Return the content of ``docs/dependencies.md``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = {"base": project["dependencies"]} | project["optional-dependencies"]
    locked = pins(ROOT / "locks/dev.txt")
    rows: dict[str, str] = {}
    gpl = []
    for install in INSTALLS:
        lines = [line for line in direct[install] if not line.startswith("ecgssl")]
        needs = {canonicalize_name(Requirement(line).name): closure([line]) for line in lines}
        for name in sorted(set().union(*needs.values()) - rows.keys()):
            package = distribution(name)
            through = "" if name in needs else ", ".join(sorted(top for top, all_of in needs.items() if name in all_of))
            declared = licence(package)
            if "GPL" in declared and "LGPL" not in declared:
                gpl.append(f"| {name} | {declared} | {install} | {through} |")
            rows[name] = f"| {name} | {locked[name]} | {declared} | {install} | {through} |"
    others = locked.keys() - rows.keys()
    lines = [
        f"| {name} | {locked[name]} | {BY_HAND.get(name, 'NVIDIA proprietary' if name.startswith('nvidia-') else '')} |"
        for name in sorted(others)
    ]
    return _TEXT.format(gpl="\n".join(gpl), rows="\n".join(rows.values()), others="\n".join(lines))


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"wrote {PAGE.relative_to(ROOT)}")
