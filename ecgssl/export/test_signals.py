"""Test signals for exported graphs: noise and recordings, each with its preprocessed signal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from ecgssl.config import QualityParams
from ecgssl.export.contract_module import ContractModule
from ecgssl.export.lead_subsets import batches_of_lead_sets
from ecgssl.export.raw_module import RawModule
from ecgssl.export.unrecorded import mark_unrecorded, recorded_counts, with_signal
from ecgssl.io.recording import Recording
from ecgssl.preprocessing.prepare import Rejected, prepare
from ecgssl.signal.leads import arrange

_COUNT = 9
_LONGER = 1.31


@dataclass(frozen=True)
class TestSignals:
    """Test recordings of equal length.

    Args:
        source: origin of the recordings, for error messages.
        ecg: (n, L, T) input of the graph in mV.
        present: (n, L) bool, true for present leads.
        contract: (n, L, samples) preprocessed recordings in mV.
    """

    source: str
    ecg: NDArray[np.float32]
    present: NDArray[np.bool_]
    contract: NDArray[np.float32]

    def batches(
        self, graph: ContractModule | RawModule
    ) -> Iterator[tuple[str, NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32]]]:
        """Yield the batches of ``batches_of_lead_sets``.

        Each batch is a tuple of description, input, lead mask and preprocessed signal. Absent leads contain NaN, so
        that an output that wrongly depends on them is NaN. A recording without any lead of a set keeps all its leads,
        because all outputs would be NaN otherwise.
        """
        start = 0
        for batch, name, mask in batches_of_lead_sets(graph.spec):
            rows = (start + np.arange(batch)) % len(self.ecg)
            start += batch
            present = mask & self.present[rows]
            present = np.where(present.any(axis=1, keepdims=True), present, self.present[rows])
            ecg, contract = (
                np.where(present[..., None], signal[rows], np.float32(np.nan)) for signal in (self.ecg, self.contract)
            )
            yield f"{self.source}, batch {batch}, {name}", ecg, present, contract


def make_test_signals(
    graph: ContractModule | RawModule,
    examples: NDArray[np.float32] | None,
    recordings: Sequence[Recording],
    quality: QualityParams,
) -> list[TestSignals]:
    """Return test signals for ``graph``: noise, shorter noise and the examples.

    For a raw graph, longer noise and raw recordings are added. If the graph accepts complete recordings only, there is no
    shorter noise.

    Args:
        graph: exported module.
        examples: (n, L, samples) preprocessed recordings in mV; rows of absent leads are 0, and samples that were not
            recorded are NaN. For a raw graph they are resampled to its sampling rate, and an offset is added to every lead.
        recordings: raw recordings, used for a raw graph only. Recordings with another sampling rate, with missing
            values, or rejected by preprocessing are skipped.
        quality: quality limits of preprocessing.
    """
    sources = {"random": _random(graph)}
    if examples is not None and len(examples):
        sources["examples"] = np.asarray(examples, dtype=np.float32)
    if graph.shortest < _window(graph):
        sources["random, shorter"] = _shorter(sources["random"], graph)
    present = {name: with_signal(rows) for name, rows in sources.items()}
    if not isinstance(graph, RawModule):
        return [TestSignals(name, rows, present[name], rows) for name, rows in sources.items()]
    if "examples" in sources:
        sources["examples"] = _as_recorded(sources["examples"], graph)
    found = [TestSignals(name, rows, present[name], graph.preprocess(rows)) for name, rows in sources.items()]
    longer = np.concatenate([sources["random"]] * 2, axis=2)[..., : round(_LONGER * graph.window)]
    found.append(TestSignals("random, longer", longer, present["random"], graph.preprocess(longer)))
    return found + _real(graph, recordings, quality)


def _random(graph: ContractModule | RawModule) -> NDArray[np.float32]:
    """Return noise in mV with three amplitudes.

    The amplitudes are that of an ECG, one below the default floor of the normalisation, and ten times that of an ECG. Noise for
    a raw graph also has a random offset in each lead.
    """
    generator = np.random.default_rng(0)
    raw = isinstance(graph, RawModule)
    samples = _window(graph)
    noise = generator.standard_normal((_COUNT, len(graph.spec.leads), samples))
    # scale with the sampling rate, because a smaller share of the noise power is in the pass band at a higher rate
    scale = np.resize([0.3, 0.01, 3.0], (_COUNT, 1, 1)) * np.sqrt(samples / graph.spec.samples)
    offset = generator.uniform(-3, 3, (_COUNT, len(graph.spec.leads), 1)) if raw else 0.0
    return (scale * noise + offset).astype(np.float32)


def _window(graph: ContractModule | RawModule) -> int:
    return graph.window if isinstance(graph, RawModule) else graph.spec.samples


def _shorter(noise: NDArray[np.float32], graph: ContractModule | RawModule) -> NDArray[np.float32]:
    """Return noise of different lengths from the shortest accepted one, with NaN in the samples that were not recorded.

    The first recording has the shortest length. For a raw graph, the array is also shorter than the window.
    """
    most = (graph.shortest + graph.window) // 2 if isinstance(graph, RawModule) else graph.spec.samples
    lengths = np.linspace(graph.shortest, most, len(noise)).astype(int)
    return mark_unrecorded(noise[..., :most], lengths)


def _as_recorded(examples: NDArray[np.float32], graph: RawModule) -> NDArray[np.float32]:
    ratio = Fraction(graph.sampling_rate / graph.spec.sampling_rate).limit_denominator(1000)
    counts = recorded_counts(examples, np.ones(examples.shape[:2], dtype=bool))
    parts = [
        resample_poly(one[:, :count], ratio.numerator, ratio.denominator, axis=1)
        for one, count in zip(examples, counts, strict=True)
    ]
    raw = np.full((*examples.shape[:2], max(part.shape[1] for part in parts)), np.nan)
    for made, part in zip(raw, parts, strict=True):
        made[:, : part.shape[1]] = part
    offset = np.random.default_rng(1).uniform(-3, 3, (*raw.shape[:2], 1))
    return (raw + offset).astype(np.float32)


def _real(graph: RawModule, recordings: Sequence[Recording], quality: QualityParams) -> list[TestSignals]:
    by_length: dict[int, list[tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32]]]] = {}
    for recording in recordings:
        if recording.sampling_rate != graph.sampling_rate:
            continue
        digital = np.zeros((len(graph.spec.leads), graph.spec.samples), dtype=np.int16)
        try:
            found = prepare(recording, graph.spec, quality, graph.lsb, digital)
        except Rejected:
            continue
        present = np.array([found["lead_mask"] >> i & 1 for i in range(len(digital))], dtype=bool)
        signal = digital * np.float32(graph.lsb)
        signal[:, found.get("recorded", graph.spec.samples) :] = np.nan
        ecg, _ = arrange(recording.signal, recording.leads, graph.spec.leads)
        if np.isfinite(ecg[present]).all():
            by_length.setdefault(ecg.shape[1], []).append((ecg, present, signal))
    return [
        TestSignals(f"recordings of {length / graph.sampling_rate:g} s", *map(np.stack, zip(*group, strict=True)))
        for length, group in sorted(by_length.items())
    ]
