"""MLflow model class for bundles, in MLflow's "models from code" format, which does not use pickle.

MLflow copies this file next to the bundle and executes it when the model is loaded. The bundle is verified by
``ecgssl.export.bundle.load_bundle``.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from ecgssl.export.bundle import Bundle, load_bundle
from ecgssl.scoring.dataframe import score_frame


class BundleModel(PythonModel):
    """MLflow model that returns scores or embeddings of raw recordings; see ``score_frame`` for the columns."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load and verify the bundle in the model's artifacts."""
        self.bundle: Bundle = load_bundle(context.artifacts["bundle"])

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return the scores or embeddings of a table of raw recordings."""
        return score_frame(self.bundle, model_input)


set_model(BundleModel())
