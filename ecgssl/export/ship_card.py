"""Model card (``README.md``) of a shipped model: the card of its bundle, with data, licences, command, results and limits."""

from __future__ import annotations

from collections.abc import Iterator

from ecgssl.encoders.card import Card, Compute, DataEntry, ResultEntry
from ecgssl.export.model_card import markdown_text

_PATH = "path/to/this/folder"


def card_text(bundle_card: str, card: Card) -> str:
    """Return the model card of a shipped model.

    Args:
        bundle_card: model card of its bundle (``ecgssl.export.model_card``).
        card: content of ``card.json``.
    """
    front, _, rest = bundle_card.partition("\n# ")
    _, _, rest = rest.partition("\n")
    body = rest.replace(_PATH, card.name).rstrip()
    sections = "\n\n".join(_sections(card))
    return f"{front}\n# {card.name}\n\n{markdown_text(card.summary)}\n{body}\n\n{sections}\n"


def _sections(card: Card) -> Iterator[str]:
    yield "## Data and licences\n\n" + _data(card)
    yield "## How it was made\n\n" + _making(card)
    yield "## Results\n\n" + _results(card)
    yield "## Known limits\n\n" + "\n".join(f"- {markdown_text(limit)}" for limit in card.limits)


def _data(card: Card) -> str:
    head = "| role | data set | part | train | validation | test | licence | attribution |\n|---|---|---|--:|--:|--:|---|---|\n"
    rows = "\n".join(map(_data_row, card.data))
    codes = (
        f"`recordings.safetensors` has the waveform codes of {card.codes:,} recordings of the training data. `ecgssl overlap "
        f"{card.name} STORE`, fine-tuning and evaluation use them to find recordings that the model has seen."
        if card.codes
        else "The bundle has no waveform codes, so recordings that the model has seen cannot be found."
    )
    return (
        f"{head}{rows}\n\nWeights were fitted on the recordings in column *train* only. Licence of the weights: "
        f"{markdown_text(card.licence)}.\n\n{codes}"
    )


def _data_row(entry: DataEntry) -> str:
    cells = [entry.role, entry.set, entry.part or "all", f"{entry.train:,}", f"{entry.val:,}", f"{entry.test:,}"]
    return (
        "| " + " | ".join(markdown_text(cell) for cell in (*cells, entry.licence, entry.attribution or "none")) + " |"
    )


def _making(card: Card) -> str:
    lines = []
    if card.encoder:
        lines.append(f"- Encoder: the shipped encoder `{card.encoder}`")
    if card.profile:
        lines.append(f"- Profile: `{card.profile}` (`ecgssl profile use {card.profile}`); `card.json` has all settings")
    lines += [f"- Compute: {fact}" for fact in _compute(card.compute)]
    effect = card.rounding
    lines.append(
        f"- Weights: matrices in half precision. On {effect.recordings} recordings, embeddings differ from those of the run by "
        f"at most {effect.largest:.2g} standard deviations (cosine similarity {effect.cosine:.6f} or more)."
    )
    lines.append(
        f"- The graph takes its weights from `model.safetensors`. `ecgssl export --model {card.name} --out FOLDER` writes a "
        "bundle with complete graphs for other programs."
    )
    command = "\n".join(card.command)
    return "\n".join(lines) + (f"\n\n```sh\n{command}\n```" if command else "")


def _compute(compute: Compute) -> Iterator[str]:
    if compute.cpu_minutes is not None:
        yield f"{compute.cpu_minutes:,.0f} minutes of processor time"
    if compute.operations is not None:
        yield f"{compute.operations:.2g} floating-point operations (matrix products, forward and backward)"
    if compute.recordings_seen:
        yield f"{compute.recordings_seen:,} recordings seen, repetitions included"
    if compute.machine:
        yield markdown_text(compute.machine)


def _results(card: Card) -> str:
    head = "| measure | data | value | 95 % interval | note |\n|---|---|--:|---|---|\n"
    text = head + "\n".join(map(_result_row, card.results)) if card.results else "No results were recorded."
    if card.check is not None:
        check = card.check
        text += (
            f"\n\nCheck of the weights: a ridge probe for {', '.join(map(markdown_text, check.targets))}, fitted on "
            f"{len(check.train):,} training recordings of {markdown_text(check.set)}, has a macro AUROC of {check.value:.4f} "
            f"on {len(check.test):,} validation recordings (tolerance {check.tolerance:g}). `card.json` lists them. This "
            "figure shows that the weights are intact. It is not an evaluation."
        )
    return text


def _result_row(entry: ResultEntry) -> str:
    known = entry.low is not None and entry.high is not None
    interval = f"{entry.low:.3f} to {entry.high:.3f}" if known else "not computed"
    cells = (entry.measure, entry.data, f"{entry.value:.3f}", interval, entry.note)
    return "| " + " | ".join(map(markdown_text, cells)) + " |"
