"""Parameters of sections ``export`` and ``tracking``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ecgssl.config.finetune import Mode
from ecgssl.params_base import Section


class ExportParams(Section):
    """Export of the pretrained encoder and of one classifier.

    Args:
        task: task of the exported classifier; null for the first of ``tasks``. ``dvc.yaml`` needs it.
        mode: fine-tuning mode of the exported classifier; null for the first of ``finetune.modes``. ``dvc.yaml`` needs it.
        tolerance: largest accepted difference between torch and a graph in onnxruntime.
        opset: version of the ONNX operator set.
        raw_rates: sampling rates in Hz; for each, a graph that reads raw recordings of this rate.
        pt2: also write the model as a torch.export program.
        int8: also write a graph with 8-bit weights and activations, evaluated on validation.
        int8_loss: largest accepted loss of the 8-bit graph: decrease of macro AUROC, decrease of R2 (regression), or one
            minus the cosine similarity of embeddings (encoder).
    """

    task: Annotated[str, Field(max_length=200)] | None = None
    mode: Mode | None = None

    tolerance: Annotated[float, Field(gt=0, le=0.01)] = 1e-4
    opset: Annotated[int, Field(ge=18, le=100)] = 20
    raw_rates: Annotated[list[Annotated[float, Field(gt=0, le=4000)]], Field(max_length=32)] = [500.0]
    pt2: bool = True
    int8: bool = False
    int8_loss: Annotated[float, Field(ge=0, lt=1)] = 0.01


class TrackingParams(Section):
    """Experiment tracking.

    Args:
        backend: ``mlflow``, or ``none`` for no tracking.
        experiment: name of the MLflow experiment.
        upload_waveforms: upload figures that show waveforms, also of local cohorts and of sets whose licence is not open.
            Figures of simulated recordings and of sets with an open licence are always uploaded.
    """

    backend: Literal["mlflow", "none"] = "mlflow"
    experiment: str = "ecgssl"
    upload_waveforms: bool = False
