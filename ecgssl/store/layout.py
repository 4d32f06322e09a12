"""How a store lies on disk.

``spec.json`` (contract, scale, shards with their SHA-256), ``shard-00000.npy`` (int16, recordings x leads x samples),
``index.parquet`` (a row per stored recording, in storage order), ``rejected.csv`` (a row per recording left out).
"""

FORMAT = "ecgssl-store"
VERSION = 1
SPEC = "spec.json"
INDEX = "index.parquet"
REJECTED = "rejected.csv"

DESCRIPTIVE_COLUMNS = ("record_id", "patient", "split", "fold", "age", "sex", "site", "device")
"""First columns of the index; the targets follow, then what preprocessing found."""

FOUND_COLUMNS = ("source_rate", "lead_mask", "reasons", "findings", "clipped", "waveform_hash")
"""What preprocessing states of every recording besides its quality figures."""

FIGURE_COLUMNS = (
    "amplitude",
    "beats",
    "chest_swap",
    "flat_seconds",
    "heart_rate",
    "hf_noise",
    "lead_difference",
    "leads",
    "limb_residual",
    "limb_swap",
    "lowest_sd",
    "mains",
    "nan_fraction",
    "railed_fraction",
    "span",
    "template_match",
    "wander",
)
"""Quality figures (``ecgssl.signal.quality``)."""

REJECTED_COLUMNS = ("record_id", "stage", "reason", "detail", "findings")
"""``findings`` here and in the index: ``ecgssl.signal.findings.findings_from_cell`` reads it."""


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"shard-{number:05d}.npy"
