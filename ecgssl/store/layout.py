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

FOUND_COLUMNS = ("source_rate", "lead_mask", "reasons", "clipped", "waveform_hash")
"""What preprocessing states of every recording besides its quality figures."""

FIGURE_COLUMNS = (
    "amplitude",
    "beats",
    "heart_rate",
    "leads",
    "limb_residual",
    "lowest_sd",
    "nan_fraction",
    "railed_fraction",
    "template_match",
)
"""Quality figures (``ecgssl.signal.quality``)."""

REJECTED_COLUMNS = ("record_id", "stage", "reason", "detail")


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"shard-{number:05d}.npy"
