"""The recordings of Ningbo First Hospital: a part of the ecg-arrhythmia release that benchmarks use alone."""

from __future__ import annotations

from ecgssl.datasets.public.ecg_arrhythmia import ECGArrhythmia


class Ningbo(ECGArrhythmia):
    """JS10647-JS45551 of ecg-arrhythmia, in the same folds as there."""

    name = "ningbo"
    title = "Ningbo (part of ecg-arrhythmia)"
    sites = ("ningbo",)
