"""MLflow runs: one run per stage, nested under the run of its pipeline.

If tracking fails, one warning is logged and the stage continues. A run contains provenance tags and the values passed
by the caller. Tables and arrays are rejected, because they can contain patient data.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ecgssl.config import Params
from ecgssl.errors import Stopped, require
from ecgssl.output_lock import OutputLock
from ecgssl.tracking.provenance import provenance
from ecgssl.tracking.sqlite_store import prepared, schema_error
from ecgssl.tracking.values import URI_VARIABLE, error_line, legal_name, number, settings

_logger = logging.getLogger("ecgssl")

_METRICS_PER_CALL = 500
_ITEMS_PER_CALL = 100
_TEXT_LENGTH = 6000
_SECONDS_BETWEEN_CALLS = 5.0
_FAILURES_UNTIL_OFF = 3
_RUN = "mlflow_run"
"""Key of the run in the lock file of an output."""
_ENVIRONMENT = {
    # MLflow's defaults (7 retries, timeout of 120 s) delay a stage by minutes if the server does not respond
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}


@contextmanager
def track(
    stage: str,
    params: Params,
    *,
    backend: str | None = None,
    enabled: bool = True,
    tags: Mapping[str, object] | None = None,
    lock: OutputLock | None = None,
) -> Iterator[TrackedRun]:
    """Start the MLflow run of a stage, nested under the run of its pipeline. The run ends with the ``with`` block.

    The pipeline's run is identified by the hash of all parameters, the commit and the uncommitted changes. Stages in
    separate processes share it, and the first stage creates it. Runs are stored at ``MLFLOW_TRACKING_URI``. The default
    is the database ``mlflow.db`` and the artifact folder ``mlartifacts`` in the working directory. Errors of MLflow are not
    raised; the first one is logged as a warning.

    Args:
        stage: name of the run, for example ``pretrain`` or ``finetune@rhythm-linear``.
        params: all parameters. Only their hash and the fingerprint of the preprocessing settings are logged.
        backend: ``mlflow`` or ``none``. The default is ``params.tracking.backend``.
        enabled: set to ``False`` on all ranks except the first.
        tags: additional tags of the run.
        lock: lock of the stage's output. It records the run, so that the next start of the stage marks a run whose process
            was killed as KILLED.

    Yields:
        The run. An exception in the block sets its status to FAILED, or KILLED for ``Stopped`` or an interrupt, and
            propagates.

    Raises:
        InputError: the backend is MLflow, which is not installed.
        ValueError: the backend is unknown.
    """
    backend = params.tracking.backend if backend is None else backend
    if backend not in ("mlflow", "none"):
        raise ValueError(f"backend is {backend!r}. Use 'mlflow' or 'none'")
    if backend == "mlflow" and enabled:
        require("params.yaml", "mlflow", field="tracking.backend")
    run = TrackedRun(off=backend == "none" or not enabled)
    run._attempt("starting", lambda: run._open(stage, params, dict(tags or {}), lock))
    try:
        yield run
    except BaseException as error:
        failed = isinstance(error, Exception) and not isinstance(error, Stopped)
        run._close("FAILED" if failed else "KILLED", type(error).__name__)
        raise
    run._close("FINISHED")


class TrackedRun:
    """MLflow run of a stage, created by ``track``. Errors of MLflow are not raised; the first one is logged."""

    def __init__(self, off: bool) -> None:
        self._off = off
        self._warned = False
        self._failures = 0
        self._client: Any = None
        self._run_id = ""
        self._parent_id = ""
        self._metrics: list[Any] = []
        self._sent = time.monotonic()

    def log_metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Log metrics. They are sent in batches; the last batch is sent when the run ends.

        MLflow's asynchronous queue is not used, because it drops batches that could not be sent.

        Args:
            values: metrics by name; ``None`` (undefined) is skipped.
            step: position on the x axis, for example the number of samples seen.

        Raises:
            TypeError: a value is not a number.
        """
        numbers = {name: number(name, value) for name, value in values.items() if value is not None}
        if self._off:
            return
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._metrics += [Metric(legal_name(name), value, now, int(step)) for name, value in numbers.items()]
        if len(self._metrics) >= _METRICS_PER_CALL or time.monotonic() - self._sent > _SECONDS_BETWEEN_CALLS:
            self._flush()

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Log parameters of the run. Keys of nested mappings are joined by dots.

        Raises:
            TypeError: a value is a table or an array.
        """
        self._log_settings("logging parameters", "params", values)

    def set_tags(self, values: Mapping[str, object]) -> None:
        """Set tags of the run.

        Raises:
            TypeError: a value is a table or an array.
        """
        self._log_settings("setting tags", "tags", values)

    def log_artifact(self, path: Path | str, folder: str | None = None) -> None:
        """Upload a file, or all files of a directory, into ``folder`` of the run's artifacts."""
        path = Path(path)
        if path.is_dir():
            self._send("uploading", "log_artifacts", str(path), folder or path.name)
        else:
            self._send("uploading", "log_artifact", str(path), folder)

    def call_mlflow(self, what: str, action: Callable[[Any], object]) -> None:
        """Call a function of MLflow while this run is MLflow's active run.

        Args:
            what: description of the action for the warning if it fails.
            action: function called with the ``mlflow.MlflowClient`` of this run.
        """

        def in_run() -> None:
            # log_model ignores run_id and stores the model in MLflow's active run
            with _mlflow().start_run(run_id=self._run_id, nested=True):
                action(self._client)
            self._client.update_run(self._run_id, status="RUNNING")

        self._attempt(what, in_run)

    def _open(self, stage: str, params: Params, tags: dict[str, object], lock: OutputLock | None) -> None:
        configured = os.environ.get(URI_VARIABLE)
        uri = configured or f"sqlite:///{Path('mlflow.db').resolve()}"
        artifacts = None if configured else Path("mlartifacts").resolve().as_uri()
        source = provenance(params)
        with prepared(uri, lambda new: _mlflow().MlflowClient(new).search_experiments(max_results=1)):
            mlflow = _mlflow()
            mlflow.set_tracking_uri(uri)
            if not configured:
                # mlflow sets this variable, which would make a later run in another directory use the same store
                os.environ.pop(URI_VARIABLE, None)
            try:
                self._client = mlflow.MlflowClient(uri)
                experiment = _experiment(self._client, params.tracking.experiment, artifacts)
            except Exception as error:
                raise schema_error(uri, error) from error
            self._parent_id = _pipeline_run(self._client, experiment, source)
            labels = {**source, "stage": stage, "mlflow.parentRunId": self._parent_id, **settings(tags)}
            self._run_id = self._client.create_run(experiment, run_name=stage, tags=labels).info.run_id
        if lock is not None:
            _end_killed(self._client, str(lock.previous.get(_RUN, "")), self._parent_id)
            lock.record(**{_RUN: self._run_id})

    def _close(self, status: str, error_type: str = "") -> None:
        self._flush()
        if error_type:
            # log the type only, because the message of an InputError can contain the name of a recording
            self.set_tags({"error_type": error_type})
        self._send("ending", "set_terminated", status)
        self._attempt("ending", lambda: self._client.set_terminated(self._parent_id, status))

    def _flush(self) -> None:
        self._sent = time.monotonic()
        while self._metrics and not self._off:
            batch = self._metrics[:_METRICS_PER_CALL]
            if not self._send("logging metrics", "log_batch", metrics=batch):
                break
            del self._metrics[: len(batch)]

    def _log_settings(self, what: str, field: str, values: Mapping[str, Any]) -> None:
        entries = settings(values)
        if self._off:
            return
        from mlflow.entities import Param, RunTag

        entity = Param if field == "params" else RunTag
        items = [entity(name, text[:_TEXT_LENGTH]) for name, text in entries.items()]
        for i in range(0, len(items), _ITEMS_PER_CALL):
            self._send(what, "log_batch", **{field: items[i : i + _ITEMS_PER_CALL]})

    def _send(self, what: str, method: str, *arguments: Any, **named: Any) -> bool:
        return self._attempt(what, lambda: getattr(self._client, method)(self._run_id, *arguments, **named))

    def _attempt(self, what: str, action: Callable[[], Any]) -> bool:
        """Call ``action`` and return whether it succeeded. Three failures in a row, or one before the start, end tracking."""
        if self._off:
            return False
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                action()
        except Exception as error:
            self._failures += 1
            self._off = not self._run_id or self._failures >= _FAILURES_UNTIL_OFF
            if not self._warned:
                self._warned = True
                _logger.warning("MLflow: %s failed (%s); the stage continues.", what, error_line(error))
            return False
        self._failures = 0
        return True


def _mlflow() -> Any:
    """Return the module ``mlflow``, with telemetry, long retries and log messages disabled."""
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow

    # these loggers report every migration step and every retry
    for name in ("alembic", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return mlflow


def _end_killed(client: Any, run_id: str, parent_id: str) -> None:
    """Mark a run whose process was killed as KILLED, and its pipeline's run unless it is ``parent_id``."""
    if not run_id:
        return
    try:
        run = client.get_run(run_id)
        if run.info.status != "RUNNING":
            return
        client.set_tag(run_id, "error_type", "Killed")
        client.set_terminated(run_id, "KILLED")
        parent = run.data.tags.get("mlflow.parentRunId", "")
        if parent not in ("", parent_id) and client.get_run(parent).info.status == "RUNNING":
            client.set_terminated(parent, "KILLED")
    except Exception as error:
        # the run may be in another tracking store
        _logger.info("MLflow: the earlier run was not found (%s)", error_line(error))


def _experiment(client: Any, name: str, artifacts: str | None) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.create_experiment(name, artifact_location=artifacts)
        except Exception:
            # a parallel stage may have created the experiment in the meantime
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return found.experiment_id


def _pipeline_run(client: Any, experiment: str, source: dict[str, str]) -> str:
    tags = {**source, "stage": "pipeline"}
    query = " and ".join(f"tags.{name} = '{tags[name]}'" for name in ("stage", "pipeline"))
    found = client.search_runs([experiment], query, max_results=1)
    if found:
        client.update_run(found[0].info.run_id, status="RUNNING")
        return found[0].info.run_id
    return client.create_run(experiment, run_name=f"pipeline {tags['pipeline'][:8]}", tags=tags).info.run_id
