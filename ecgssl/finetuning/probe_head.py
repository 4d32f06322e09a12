"""Heads and classifiers with the coefficients of a fitted linear probe."""

from __future__ import annotations

import torch

from ecgssl.model.classifier import Classifier, Head
from ecgssl.model.encoder import Encoder
from ecgssl.probes.binary import Probe


def probe_classifier(encoder: Encoder, probe: Probe) -> Classifier:
    """Return a classifier with the given encoder and a linear head with the weights of the probe."""
    classifier = Classifier(encoder, probe.names, probe.kind)
    classifier.head = head_of(probe)
    if probe.offset is not None and probe.spread is not None:
        classifier.offset.copy_(torch.from_numpy(probe.offset))
        classifier.spread.copy_(torch.from_numpy(probe.spread))
    return classifier.eval()


def head_of(probe: Probe) -> Head:
    """Return a head with the weights of a linear probe."""
    head = Head(probe.weight.shape[1], len(probe.names))
    fitted = {"mean": probe.mean, "scale": probe.scale, "linear.weight": probe.weight, "linear.bias": probe.bias}
    head.load_state_dict({name: torch.from_numpy(array).float() for name, array in fitted.items()})
    return head
