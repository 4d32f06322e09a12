"""Model class of a bundle in MLflow. MLflow copies this file next to the bundle and runs it, so no object is pickled.

Loading performs all checks of ``ecgssl.export.bundle.load_bundle``.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from ecgssl.export.bundle import Bundle, load_bundle
from ecgssl.scoring.dataframe import score_frame


class BundleModel(PythonModel):
    """Model from raw recordings to scores or embeddings. The columns are those of ``ecgssl.scoring.dataframe.score_frame``."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the bundle from the artifacts of the model."""
        self.bundle: Bundle = load_bundle(context.artifacts["bundle"])

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Score a table of recordings."""
        return score_frame(self.bundle, model_input)


set_model(BundleModel())
