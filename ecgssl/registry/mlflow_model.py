"""The code of an MLflow model: MLflow copies this file beside the bundle and runs it, so that nothing is pickled.

Loading takes the bundle through all checks of ``ecgssl.export.bundle.load_bundle``.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from ecgssl.export.bundle import Bundle, load_bundle
from ecgssl.scoring.dataframe import score_frame


class BundleModel(PythonModel):
    """Raw recordings to scores or embeddings; columns in and out are those of ``ecgssl.scoring.dataframe.score_frame``."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the bundle that lies among the artifacts."""
        self.bundle: Bundle = load_bundle(context.artifacts["bundle"])

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Score a table of recordings."""
        return score_frame(self.bundle, model_input)


set_model(BundleModel())
