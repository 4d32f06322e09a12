"""Cleaning operator compared with closed forms, SciPy and a direct sum, and its two implementations with each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal as scipy_signal

from ecgssl.errors import InputError, RecordingError
from ecgssl.signal.cleaning import clean, crop, design, response
from ecgssl.signal.cleaning_torch import cleaning_module
from ecgssl.signal.leads import LIMB_MATRIX
from ecgssl.signal.spec import CleanSpec, SignalSpec

RATES = (100.0, 128.0, 250.0, 257.0, 360.0, 400.0, 500.0, 1000.0)


def noise(seed: int, leads: int, samples: int) -> np.ndarray:
    """Return white noise of 0.5 mV with an offset per lead."""
    rng = np.random.default_rng(seed)
    return (0.5 * rng.standard_normal((leads, samples)) + rng.uniform(-3, 3, (leads, 1))).astype(np.float32)


def in_torch(signal: np.ndarray, rate: float, spec: SignalSpec) -> np.ndarray:
    with torch.no_grad():
        return cleaning_module(spec, rate)(torch.from_numpy(signal)[None])[0].numpy()


@settings(max_examples=40, deadline=None)
@given(
    rate=st.sampled_from(RATES),
    out=st.sampled_from([100.0, 250.0]),
    samples=st.integers(1, 3000),
    duration=st.sampled_from([0.2, 1.0, 2.0]),
    mains=st.sampled_from([None, 50, 60]),
    window=st.sampled_from(["start", "center"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_numpy_and_torch_agree_at_any_rate_length_and_window(
    rate: float, out: float, samples: int, duration: float, mains: int | None, window: str, seed: int
) -> None:
    spec = SignalSpec(sampling_rate=out, duration=duration, clean=CleanSpec(mains=mains), crop=window)
    signal = noise(seed, 2, samples)
    whole, found = clean(signal, rate, spec), in_torch(signal, rate, spec)
    assert whole.dtype == np.float32
    assert whole.shape == (2, int(np.ceil(samples * out / rate)))
    if whole.shape[1] < spec.samples:
        np.testing.assert_allclose(found[:, : whole.shape[1]], whole, atol=1e-4, rtol=0)
        assert np.isnan(found[:, whole.shape[1] :]).all()
    else:
        np.testing.assert_allclose(found, crop(whole, spec), atol=1e-4, rtol=0)


def test_a_value_that_is_not_finite_stays_in_its_lead_and_cannot_be_missed() -> None:
    signal = noise(1, 3, 5000)
    signal[0, 2500], signal[1, 4999] = np.nan, np.inf
    found = in_torch(signal, 500, SignalSpec())
    assert list(np.isnan(found).all(axis=1)) == [True, True, False]


@pytest.mark.parametrize(
    ("rate", "out", "samples"), [(500, 100, 1203), (257, 100, 700), (100, 250, 333), (360, 250, 90)]
)
def test_against_the_definition_summed_directly(rate: float, out: float, samples: int) -> None:
    """Return y(t_n) = sum_k h(t_n - t_k) x(t_k) in float64, with the reflection computed sample by sample."""
    spec = SignalSpec(sampling_rate=out)
    kernel = design(float(rate), float(out), spec.clean, 2.0)
    signal = noise(1, 1, samples)[0].astype(np.float64)
    expected = []
    for n in range(int(np.ceil(samples * out / rate))):
        middle = n * kernel.down
        total = 0.0
        for k in range(-(-(middle - kernel.half) // kernel.up), (middle + kernel.half) // kernel.up + 1):
            j = k
            while not 0 <= j < samples:
                j = -j if j < 0 else 2 * (samples - 1) - j
            total += kernel.taps[middle - k * kernel.up + kernel.half] * signal[j]
        expected.append(total)
    np.testing.assert_allclose(clean(signal[None].astype(np.float32), rate, spec)[0], expected, atol=2e-5)


@pytest.mark.parametrize("rate", [128.0, 257.0, 500.0])
@pytest.mark.parametrize("frequency", [0.2, 0.5, 1.0, 5.0, 17.0, 30.0, 40.0, 43.0])
def test_sines_have_the_closed_form_gain_and_no_phase(rate: float, frequency: float) -> None:
    spec = SignalSpec()
    time, time_out = np.arange(int(20 * rate)) / rate, np.arange(2000) / 100
    cleaned = clean(np.sin(2 * np.pi * frequency * time)[None].astype(np.float32), rate, spec)[0]
    # squared Butterworth magnitudes, then the raised cosine from 40 to 50 Hz
    gain = (1 / (1 + (0.5 / frequency) ** 4)) / (1 + (frequency / 40) ** 4)
    gain *= 1 if frequency <= 40 else np.cos(np.pi / 2 * (frequency - 40) / 10) ** 2
    inside = slice(300, 1700)
    np.testing.assert_allclose(
        cleaned[inside], gain * np.sin(2 * np.pi * frequency * time_out)[inside], atol=0.011, rtol=0
    )


@pytest.mark.parametrize(("rate", "out"), [(1000, 100), (500, 100), (400, 250)])
def test_nothing_above_the_new_nyquist_aliases(rate: float, out: float) -> None:
    time = np.arange(int(10 * rate)) / rate
    for frequency in np.linspace(out / 2, rate / 2 - 1, 7):
        tone = np.sin(2 * np.pi * frequency * time)[None].astype(np.float32)
        inside = clean(tone, rate, SignalSpec(sampling_rate=out))[0, 2 * out : -2 * out]
        assert np.abs(inside).max() < 1e-3


def test_mains_is_notched_and_its_surroundings_are_not() -> None:
    spec = SignalSpec(sampling_rate=500, clean=CleanSpec(band=(0.5, 150), mains=50))
    time = np.arange(5000) / 500
    level = {}
    for frequency in (50.0, 40.0, 60.0):
        out = clean(np.sin(2 * np.pi * frequency * time)[None].astype(np.float32), 500, spec)
        level[frequency] = np.abs(out[0, 1500:3500]).max()
    assert level[50.0] < 0.01
    assert min(level[40.0], level[60.0]) > 0.9


def test_against_scipy_forward_backward_filtering() -> None:
    """Compare with sosfiltfilt of the same Butterworth pair at 1 kHz, where the bilinear transform is accurate."""
    signal = noise(2, 3, 10000)
    signal = scipy_signal.sosfiltfilt(scipy_signal.butter(4, 60, fs=1000, output="sos"), signal)
    high = scipy_signal.butter(2, 0.5, "high", fs=1000, output="sos")
    low = scipy_signal.butter(2, 40, "low", fs=1000, output="sos")
    expected = scipy_signal.sosfiltfilt(np.concatenate([high, low]), signal, padtype="even", padlen=9000)
    ours = clean(signal.astype(np.float32), 1000, SignalSpec(sampling_rate=1000))
    # 1 % of the signal: the tail of the 0.5 Hz high-pass beyond 2 s
    assert np.abs(ours - expected).max() < 0.01 * np.abs(signal - signal.mean(axis=1, keepdims=True)).max()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), a=st.floats(-3, 3), b=st.floats(-3, 3), rate=st.sampled_from(RATES))
def test_linear(seed: int, a: float, b: float, rate: float) -> None:
    x, y = noise(seed, 2, 1500), noise(seed + 1, 2, 1500)
    together = clean((a * x + b * y).astype(np.float32), rate, SignalSpec())
    apart = a * clean(x, rate, SignalSpec()) + b * clean(y, rate, SignalSpec())
    np.testing.assert_allclose(together, apart, atol=5e-5)


def test_leads_do_not_touch_each_other() -> None:
    signal = noise(3, 12, 5000)
    alone = np.concatenate([clean(row[None], 500, SignalSpec()) for row in signal])
    np.testing.assert_allclose(clean(signal, 500, SignalSpec()), alone, atol=1e-6)


def test_a_delay_of_the_input_is_a_delay_of_the_output() -> None:
    signal = noise(4, 1, 8000)
    early, late = clean(signal[:, 500:], 500, SignalSpec()), clean(signal[:, :-500], 500, SignalSpec())
    # one second at 100 Hz; beyond 2 s from either end, reflections have no effect
    np.testing.assert_allclose(late[:, 100:][:, 250:-250], early[:, :-100][:, 250:-250], atol=1e-5)


@given(offset=st.floats(-200, 200), samples=st.integers(1, 400), rate=st.sampled_from(RATES))
@settings(max_examples=30, deadline=None)
def test_an_offset_vanishes(offset: float, samples: int, rate: float) -> None:
    flat = np.full((1, samples), offset, dtype=np.float32)
    assert np.abs(clean(flat, rate, SignalSpec())).max() < 1e-4
    kernel = design(rate, 100.0, CleanSpec(), 2.0)
    branch = np.arange(-kernel.half, kernel.half + 1) % kernel.up
    assert np.abs(np.bincount(branch, kernel.taps)).max() < 1e-12


def test_limb_leads_stay_lawful() -> None:
    limb = (LIMB_MATRIX @ noise(5, 2, 3600)).astype(np.float32)
    out = clean(limb, 360, SignalSpec())
    np.testing.assert_allclose(out, LIMB_MATRIX @ out[:2], atol=1e-5)


def test_response_is_one_half_at_each_edge() -> None:
    edges = response(np.array([0.0, 0.5, 40.0, 250.0]), CleanSpec(), 250.0)
    np.testing.assert_allclose(edges, [0, 0.5, 0.5, 0], atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_gaps_are_refused(bad: float) -> None:
    signal = noise(6, 2, 1000)
    signal[1, 7] = bad
    with pytest.raises(ValueError, match="NaN"):
        clean(signal, 100, SignalSpec())


@pytest.mark.parametrize("rate", [60.0, 80.0, 499.9973, 1009.0 / 7])
def test_rates_that_cannot_serve_are_refused_by_name(rate: float) -> None:
    with pytest.raises(RecordingError, match="sampling_rate") as caught:
        clean(noise(7, 1, 500), rate, SignalSpec())
    assert caught.value.reason == "sampling_rate"


def test_a_support_too_short_for_the_band_is_refused() -> None:
    with pytest.raises(InputError, match=r"0\.1 Hz band edge"):
        clean(noise(7, 1, 500), 500, SignalSpec(clean=CleanSpec(band=(0.1, 40))))


def test_crop_keeps_the_window_or_says_too_short() -> None:
    signal = np.arange(1300, dtype=np.float32)[None]
    assert crop(signal, SignalSpec())[0, 0] == 0
    assert crop(signal, SignalSpec(crop="center"))[0, [0, -1]].tolist() == [150, 1149]
    with pytest.raises(RecordingError, match=r"9\.99 s, shorter than the required 10 s \(signal\.duration\)") as caught:
        crop(signal[:, :999], SignalSpec())
    assert caught.value.reason == "too_short"


def test_neurokit_cleaner_is_neurokit_then_resampling_and_not_exportable() -> None:
    import neurokit2

    spec = SignalSpec(clean=CleanSpec(method="neurokit"))
    signal = noise(8, 1, 5000)
    reference = neurokit2.ecg_clean(signal[0], sampling_rate=500, method="neurokit")
    got = clean(signal, 500, spec)
    same_rate = clean(signal, 500, SignalSpec(sampling_rate=500, clean=CleanSpec(method="neurokit")))
    np.testing.assert_allclose(same_rate[0], reference, atol=1e-5)
    expected = scipy_signal.resample_poly(scipy_signal.sosfiltfilt(_narrow(), reference), 1, 5)
    again = scipy_signal.sosfiltfilt(_narrow(100), got[0])
    assert np.abs(again - expected)[100:-100].max() < 0.02
    with pytest.raises(InputError, match="cannot be exported"):
        cleaning_module(spec, 500)


def _narrow(rate: float = 500) -> np.ndarray:
    """Apply a low-pass at 15 Hz, below which all valid resampling methods agree."""
    return scipy_signal.butter(4, 15, fs=rate, output="sos")


@pytest.mark.parametrize("window", ["start", "center"])
def test_exports_to_onnx_for_any_batch_and_length(window: str) -> None:
    import onnxruntime

    spec = SignalSpec(duration=2, crop=window)
    shapes = ({0: torch.export.Dim("batch"), 2: torch.export.Dim("samples")},)
    example = torch.zeros(2, 3, 800)
    program = torch.onnx.export(
        cleaning_module(spec, 360).eval(), (example,), dynamo=True, dynamic_shapes=shapes, verbose=False
    )
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for batch, samples in ((1, 720), (3, 733), (2, 2001)):
        signal = np.stack([noise(i, 3, samples) for i in range(batch)])
        (out,) = session.run(None, {session.get_inputs()[0].name: signal})
        np.testing.assert_allclose(out, [crop(clean(one, 360, spec), spec) for one in signal], atol=1e-4)


@pytest.mark.real
def test_numpy_and_torch_agree_on_real_recordings(real_data: Path) -> None:
    for path in sorted((real_data / "ptbxl_500/records500").rglob("*.hea"))[:8]:
        signal = wfdb.rdrecord(path.with_suffix("")).p_signal.T.astype(np.float32)
        spec = SignalSpec()
        np.testing.assert_allclose(in_torch(signal, 500, spec), crop(clean(signal, 500, spec), spec), atol=1e-4)


@pytest.mark.real
def test_one_ecg_at_two_rates_is_one_ecg(real_data: Path) -> None:
    """PTB-XL's 100 Hz files are 1.2 ms early, and its 500 Hz files end in repeated samples; both are corrected here."""
    frequency = np.fft.rfftfreq(800, 0.01)
    band = (frequency > 1) & (frequency < 40)
    for path in sorted((real_data / "ptbxl_500/records500").rglob("*.hea"))[:20]:
        low = Path(str(path.with_suffix("")).replace("records500", "records100").replace("_hr", "_lr"))
        pair = [wfdb.rdrecord(path.with_suffix("")), wfdb.rdrecord(low)]
        one, two = (clean(r.p_signal.T.astype(np.float32), r.fs, SignalSpec())[:, 100:-100] for r in pair)
        first, second = (np.fft.rfft(x * np.hanning(800), axis=1)[:, band] for x in (one, two))
        second *= np.exp(-2j * np.pi * frequency[band] * 0.00123)
        assert np.linalg.norm(first - second) < 0.03 * np.linalg.norm(first)
