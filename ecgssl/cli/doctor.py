"""Command ``ecgssl doctor``, which checks the installation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from ecgssl.cli.app import app


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> int:
    """Print versions, hardware and extras, and check the installation. The exit code is 2 if the base is broken.

    Example: ecgssl doctor --json
    """
    from ecgssl.files import canonical_json
    from ecgssl.installation import describe_installation

    found = describe_installation()
    if as_json:
        typer.echo(canonical_json(found.facts | {"problems": [str(problem) for problem in found.problems]}), nl=False)
    else:
        typer.echo("\n".join(_lines(found.facts)))
    for problem in found.problems:
        typer.echo(f"error: {problem}", err=True)
    if not found.problems and not as_json:
        typer.echo("The base installation works.")
    return 2 if found.problems else 0


def _lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the description of an installation."""
    cpu, gpu, folder = facts["cpu"], facts["gpu"], facts["user_folder"]
    yield f"ecgssl         {facts['ecgssl']} in {facts['location']}"
    yield f"Python         {facts['python']} ({facts['executable']})"
    yield f"platform       {facts['platform']}"
    threads = cpu["OMP_NUM_THREADS"]
    yield f"processor      {cpu['name']}, {cpu['usable_cores']} of {cpu['cores']} cores usable" + (
        f", OMP_NUM_THREADS={threads}" if threads else ""
    )
    words = {True: "yes", False: "no", None: "unknown"}
    features = (("AVX2", "avx2"), ("AVX512", "avx512"), ("bf16", "bf16"), ("AMX", "amx"))
    yield "features       " + ", ".join(f"{title} {words[cpu[key]]}" for title, key in features)
    yield f"GPU driver     {'; '.join(gpu['driver']) or 'no NVIDIA GPU found'}"
    used = "torch is not installed" if gpu["torch"] is None else "; ".join(gpu["torch"]) or "none"
    yield f"GPU in torch   {used}"
    if folder["path"] is not None:
        yield f"user folder    {folder['path']}, {'writable' if folder['writable'] else 'not writable'}"
    yield f"models         {', '.join(facts['models']) or 'none'}"
    yield "libraries      " + ", ".join(f"{name} {found or 'broken'}" for name, found in facts["libraries"].items())
    for extra, entry in facts["extras"].items():
        present = ", ".join(f"{name} {found}" for name, found in entry["libraries"].items() if found)
        absent = ", ".join(name for name, found in entry["libraries"].items() if not found)
        missing = f"absent: {absent}. {entry['install']}" if absent else ""
        yield f"extra {extra:9}" + "; ".join(filter(None, (present, missing)))
