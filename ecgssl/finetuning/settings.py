"""Settings of the fine-tuning experiments: all combinations of task, mode, share of training patients and lead set.

All settings use the train, validation and test splits of the store. A share below 1 removes patients from the training
split only. With a lead set, the model receives its leads and the limb leads derived from them; all other leads are
masked in all splits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ecgssl.config import Params
from ecgssl.config.finetune import Mode


@dataclass(frozen=True)
class Setting:
    """Setting of one fine-tuning run.

    Args:
        task: name of the task in the section ``tasks`` of the parameters.
        mode: fine-tuning mode.
        share: share of the training patients that is used.
        leads: name of the lead set (``ecgssl.signal.lead_sets``).
    """

    task: str
    mode: Mode
    share: float
    leads: str

    @property
    def key(self) -> str:
        """Return the name of the output folder, as used by the matrix in ``dvc.yaml``."""
        return f"{self.task}-{self.mode}-{self.share}-{self.leads}"

    def about(self) -> dict[str, str | float]:
        """Return the setting as a dictionary for the tags and parameters of an MLflow run."""
        return {"task": self.task, "mode": self.mode, "share": self.share, "leads": self.leads}


def settings(params: Params) -> Iterator[Setting]:
    """Yield all settings. The reference setting of each task and mode precedes its other settings."""
    for task in params.tasks:
        for mode in params.finetune.modes:
            for share in params.finetune.fractions:
                for leads in params.finetune.lead_sets:
                    yield Setting(task, mode, share, leads)


def reference(params: Params, task: str, mode: Mode) -> Setting:
    """Return the reference setting of a task and mode: the first share and the first lead set.

    The other settings of the task and mode are compared with it.
    """
    return Setting(task, mode, params.finetune.fractions[0], params.finetune.lead_sets[0])
