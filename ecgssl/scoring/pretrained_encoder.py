"""Loading of a pretrained encoder as a torch module, for training code of the user."""

from __future__ import annotations

from pathlib import Path

from ecgssl.encoders.shipped import model_folder
from ecgssl.export.bundle import load_bundle
from ecgssl.export.checksums import SUMS
from ecgssl.export.contract_module import ContractModule
from ecgssl.model.encoder import Encoder
from ecgssl.training.checkpoint import load_encoder


def encoder(name: Path | str) -> Encoder:
    """Return a pretrained encoder as a ``torch.nn.Module`` in eval mode, on the CPU.

    Its attribute ``settings`` holds the preprocessing settings. ``encoder.embed(x, lead_mask, recorded)`` returns embeddings
    (B, E), ``encoder(x, lead_mask, recorded=recorded)`` also the tokens. ``ecgssl.RecordingDataset`` makes such input.

    Args:
        name: name of a shipped model, folder of a bundle, or folder written by ``ecgssl pretrain``. The encoder of a classifier
            is returned without its head. A bundle is verified as by ``ecgssl.load``.

    Raises:
        InputError: torch is not installed, no model has this name, or its files are missing, altered or invalid.
        ContractMismatch: the model was made with another version of the cleaning code.

    Example:
        >>> import torch, ecgssl
        >>> encoder = ecgssl.encoder("ptbxl-tiny")
        >>> encoder.settings.sampling_rate, encoder.settings.samples
        (100.0, 1000)
        >>> x = torch.zeros(2, 12, encoder.settings.samples)
        >>> encoder.embed(x).shape == (2, encoder.embed_dim)
        True
    """
    folder = model_folder(name, "encoder")
    if (folder / SUMS).exists():
        graph = load_bundle(folder, "torch").graph
        assert isinstance(graph, ContractModule)
        found, settings = graph.encoder, graph.spec
    else:
        found, settings = load_encoder(folder)
    found.settings = settings
    return found
