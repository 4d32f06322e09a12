"""Lock files, the list of licences, and the audit of known vulnerabilities."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[2]
LICENCES = runpy.run_path(str(REPOSITORY / "docs/dependency_licences.py"))
PAGE, page, pins = (LICENCES[name] for name in ("PAGE", "page", "pins"))
CONSTRAINTS = pins(REPOSITORY / "constraints.txt")
LOCKS = {name: REPOSITORY / f"locks/{name}.txt" for name in ("score", "dev")}


def blocks(lock: Path) -> dict[str, str]:
    """Return the lines of each package in a lock file, by canonical name."""
    parts = re.split(r"^(?=[A-Za-z0-9])", lock.read_text(), flags=re.MULTILINE)[1:]
    return {canonicalize_name(re.split(r"[^\w.-]", part)[0]): part for part in parts}


@pytest.mark.parametrize("name", LOCKS)
def test_lock_and_constraints_have_the_same_versions(name):
    locked = pins(LOCKS[name])
    assert {key: locked[key] for key in locked.keys() & CONSTRAINTS.keys()} == {
        key: CONSTRAINTS[key] for key in locked.keys() & CONSTRAINTS.keys()
    }
    # constraints.txt has a range for setuptools, and no packages for CUDA, Windows or WebAssembly
    others = {key: block for key, block in blocks(LOCKS[name]).items() if key not in CONSTRAINTS}
    assert others.pop("setuptools")
    assert all(re.search("; .*(sys_platform|platform_machine)", block) for block in others.values()), others.keys()
    if name == "dev":
        assert CONSTRAINTS.keys() - locked.keys() == set()


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_version_has_a_hash(name):
    for package, block in blocks(LOCKS[name]).items():
        first, *rest = block.strip().splitlines()
        Requirement(first.rstrip("\\ "))
        assert rest, package
        assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in rest), package


def test_a_scoring_server_needs_few_packages_and_none_for_training():
    locked = pins(LOCKS["score"])
    assert len(locked) < 80
    assert locked.keys() & {"torch", "mlflow", "dvc", "onnx", "ray", "dask", "pygit2", "grandalf"} == set()
    assert {"onnxruntime", "fastapi", "wfdb"} <= locked.keys()


def test_every_dependency_has_a_licence():
    rows = [re.split(r" \| ", line.strip("| ")) for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    licences = {row[0]: (row[1], row[2]) for row in rows if re.match(r"\d", row[1])}
    assert {name: number for name, (number, _) in licences.items()} == pins(LOCKS["dev"])
    assert [name for name, (_, licence) in licences.items() if not licence.strip() or "not stated" in licence] == []
    gpl = {name for name, (_, licence) in licences.items() if "GPL" in licence}
    assert {"grandalf", "pygit2"} <= gpl
    assert gpl & pins(LOCKS["score"]).keys() == set()


def test_the_list_of_licences_is_up_to_date():
    for name, pinned in CONSTRAINTS.items():
        try:
            found = version(name).partition("+")[0]
        except PackageNotFoundError:
            pytest.skip(f"{name} is not installed")
        if found != pinned:
            pytest.skip(f"{name} {found} is installed, not {pinned} as in constraints.txt")
    assert page() == PAGE.read_text(), "run: python docs/dependency_licences.py"


class _Advisories(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def audit(folder: Path, code: int, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the audit with a ``pip-audit`` that prints its arguments and exits with a code."""
    program = folder / "pip-audit"
    program.write_text(f'#!/bin/sh\necho "$@"\nexit {code}\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHON": sys.executable, **variables}
    return subprocess.run([REPOSITORY / ".ci/audit"], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_audit_fails_on_a_vulnerability_and_is_skipped_without_a_source(tmp_path):
    server = HTTPServer(("127.0.0.1", 0), _Advisories)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    source = f"http://127.0.0.1:{server.server_port}"
    good, bad = (audit(tmp_path, code, AUDIT_SOURCE=source, AUDIT_IGNORE="X-1 X-2") for code in (0, 1))
    server.shutdown()
    server.server_close()
    assert (good.returncode, bad.returncode) == (0, 1)
    assert [line.split()[-1] for line in good.stdout.splitlines()] == ["locks/dev.txt", "locks/score.txt"]
    assert good.stdout.count("--ignore-vuln X-1 --ignore-vuln X-2") == 2
    skipped = audit(tmp_path, 1, AUDIT_SOURCE=source)
    assert (skipped.returncode, skipped.stdout) == (0, "")
    assert f"audit skipped: the advisory source {source} cannot be reached" in skipped.stderr
    assert audit(tmp_path, 0, AUDIT_SOURCE=source, AUDIT_REQUIRED="1").returncode == 1


def test_the_workflow_audits_and_installs_from_the_lock():
    jobs = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text())["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    (step,) = [step for step in steps if ".ci/audit" in step.get("run", "")]
    assert step["env"]["AUDIT_REQUIRED"] == "1"
    assert any("--require-hashes -r locks/score.txt" in step.get("run", "") for step in steps)
    assert ".ci/audit" in (REPOSITORY / ".ci/run").read_text()
