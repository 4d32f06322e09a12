"""Embedder: scikit-learn transformer that returns the embeddings of recordings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from ecgssl.errors import InputError, Problem
from ecgssl.scoring.api import Predictor
from ecgssl.scoring.results import Results
from ecgssl.scoring.sources import Source


class Embedder(TransformerMixin, BaseEstimator):
    """Transformer that embeds recordings with a pretrained encoder, for pipelines of scikit-learn.

    It has no parameters that are fitted. ``clone`` and ``pickle`` copy the name or path of the model, not its weights; the
    model is loaded at the first use. Install the same model where the pipeline is unpickled.

    Args:
        model: name of a shipped model, or folder of a bundle.
        sampling_rate: sampling rate of arrays in Hz.
        leads: lead name of each row of arrays.
        rejected: ``error`` raises an error that lists the rejected recordings; ``nan`` returns a row of NaN for each, for
            example for ``sklearn.impute.SimpleImputer``.
        device: ``cpu``, ``cuda`` or ``auto``.
        batch_size: number of recordings per batch.

    Example:
        >>> import numpy as np, ecgssl
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.model_selection import cross_val_score
        >>> from sklearn.pipeline import make_pipeline
        >>> paths, labels = ["folder/a.hea", "folder/b.hea"] * 4, [0, 1] * 4
        >>> pipeline = make_pipeline(ecgssl.Embedder("ptbxl-tiny"), LogisticRegression())
        >>> cross_val_score(pipeline, paths, labels, cv=2)
        array([1., 1.])
    """

    def __init__(
        self,
        model: Path | str = "ptbxl-tiny",
        *,
        sampling_rate: float | None = None,
        leads: Sequence[str] | None = None,
        rejected: Literal["error", "nan"] = "error",
        device: Literal["auto", "cpu", "cuda"] = "cpu",
        batch_size: int = 32,
    ) -> None:
        self.model = model
        self.sampling_rate = sampling_rate
        self.leads = leads
        self.rejected = rejected
        self.device = device
        self.batch_size = batch_size

    def fit(self, X: Source, y: Any = None) -> Embedder:
        """Load the model, so that its errors are raised before the transformation. ``X`` and ``y`` are not used.

        Raises:
            InputError, ContractMismatch: the model cannot be loaded, or a parameter is invalid.
        """
        if self.rejected not in ("error", "nan"):
            raise InputError(Problem("Embedder", "rejected", f"is {self.rejected!r}", "Use 'error' or 'nan'"))
        self._predictor()
        return self

    def transform(self, X: Source) -> NDArray[np.float32]:
        """Return the embeddings (n, E) float32 of n recordings.

        Args:
            X: list of paths, recordings or arrays, array (n, leads, samples), folder, or table; see
                ``ecgssl.scoring.sources.list_sources``. A single recording gives one row.

        Raises:
            InputError: recordings are rejected (all are listed), or the input is invalid.
        """
        predictor = self._predictor()
        found = predictor.embed(X, self.sampling_rate, self.leads, batch_size=self.batch_size)
        if not isinstance(found, Results):
            return np.asarray(found)[None]
        if found.rejected and self.rejected == "error":
            remedy = "Remove it, or use Embedder(rejected='nan')"
            raise InputError(Problem(n, "recording", f"is rejected for {r}", remedy) for n, r in found.rejected.items())
        return found.values

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the names of the columns, ``emb_0000`` etc.; ``input_features`` is not used."""
        return np.array([f"emb_{i:04d}" for i in range(self._predictor().bundle.embed_dim)], dtype=object)

    def _predictor(self) -> Predictor:
        key = (str(self.model), self.device)
        loaded: tuple[Any, Predictor] | None = self.__dict__.get("_loaded")
        if loaded is None or loaded[0] != key:
            loaded = self._loaded = (key, Predictor(self.model, device=self.device))
        return loaded[1]

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_loaded"}
