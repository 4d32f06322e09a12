"""Pool backends loky, Dask and Ray: equal bytes and equal error reports."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from command_line import contents, ecgssl, refused
from small_tasks import divide, double, make_first_shards
from store_cohort import KEY, params

from ecgssl.errors import InputError
from ecgssl.pool import AHEAD, run_unordered
from ecgssl.preprocessing.preprocess import preprocess

pytestmark = pytest.mark.long

TWO = {"shard_recordings": 4, "workers": 2, "max_rejected_fraction": 0.5}
EXTRAS = {"dask": "distributed", "ray": "ray"}


def settings(backend, **more):
    return params(store={**TWO, "backend": backend, **more}).store


def spread(function, tasks, count, store):
    return run_unordered(function, tasks, count, store.workers, store.backend, store.scheduler)


def need(backend):
    if backend in EXTRAS:
        pytest.importorskip(EXTRAS[backend], reason=f"the extra {backend} is absent")


@pytest.mark.parametrize("scheduler", ["127.0.0.1:9", "127.0.0.1:no", "nonsense://"])
@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_a_scheduler_that_is_not_there_is_named(backend, scheduler):
    need(backend)
    with pytest.raises(InputError, match=rf"store.scheduler: {scheduler}: cannot be reached"):
        list(spread(double, [(1,)], 1, settings(backend, scheduler=scheduler)))


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        (("--backend", "spark"), "store.backend: Input should be 'loky', 'dask' or 'ray'"),
        (("--scheduler", "127.0.0.1:8786"), "store: a scheduler needs backend 'dask' or 'ray'"),
        (("--backend", "dask", "--scheduler", "127.0.0.1:9"), "store.scheduler: 127.0.0.1:9: cannot be reached"),
    ],
)
def test_the_verb_takes_backend_and_scheduler(options, reported, manifest, tmp_path):
    if "dask" in options:
        need("dask")
    key = ("--set", f"sets.cohort.patient_key={tmp_path}/key")
    done = ecgssl("preprocess", "--manifest", manifest, "--out", tmp_path / "out", *key, *options)
    refused(done, reported)
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def by_one(cohort, tmp_path_factory):
    """Return the store of the cohort written by a single process."""
    out = tmp_path_factory.mktemp("by_one") / "out"
    preprocess(cohort, params(store={**TWO, "workers": 1}), out, KEY, progress=False)
    return contents(out)


@pytest.fixture(scope="module", params=["loky", "dask", "ray"])
def two(request):
    """Yield settings of a backend with two processes; for Dask and Ray these are already running."""
    need(request.param)
    with pytest.MonkeyPatch.context() as patch:
        # the workers must import the tasks
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "helpers"))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        if request.param == "dask":
            from distributed import LocalCluster

            with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:
                yield settings("dask", scheduler=cluster.scheduler_address)
        elif request.param == "ray":
            import ray

            ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=2**27)
            yield settings("ray")
            assert ray.is_initialized(), "only the caller that connected may disconnect"
            ray.shutdown()
        else:
            yield settings("loky")


def test_results_come_while_tasks_are_still_to_be_taken(two):
    taken = []

    def tasks():
        for number in range(1, 41):
            taken.append(number)
            yield (number,)

    results = spread(double, tasks(), 40, two)
    first = next(results)
    assert len(taken) == 2 * AHEAD
    assert sorted([first, *results]) == [2 * n for n in range(1, 41)]
    assert taken == list(range(1, 41))


def test_a_caller_may_stop_asking(two, recwarn):
    results = spread(double, ((number,) for number in range(1, 1001)), 1000, two)
    next(results)
    results.close()
    assert [str(w.message) for w in recwarn if "tasks" in str(w.message)] == []


def test_bugs_and_named_errors_come_back_as_they_are(two):
    with pytest.raises(ZeroDivisionError):
        list(spread(divide, [(1,), (0,)], 2, two))
    with pytest.raises(InputError) as reported:
        list(spread(double, [(1,), (-1,)], 2, two))
    assert [str(problem) for problem in reported.value.problems] == [
        "task: -1: is negative. Use another",
        "a: b: c. d",
    ]


def mortal(two):
    """Return settings for a new Dask cluster, because a cluster whose workers die during the start stays unusable."""
    return two.model_copy(update={"scheduler": None})


def test_a_process_that_dies_is_told_of(two):
    with pytest.raises(InputError, match=r"process pool: workers: a worker process died.*Run the same command again"):
        list(spread(double, [(0,), (0,)], 2, mortal(two)))  # a single task would run in this process


def test_a_run_whose_processes_died_is_taken_up_again(two, cohort, by_one, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("ecgssl.preprocessing.preprocess.make_shard", make_first_shards)
        with pytest.raises(InputError, match="a worker process died"):
            preprocess(cohort, params(store=mortal(two).model_dump()), tmp_path / "out", KEY, progress=False)
    assert not (tmp_path / "out").exists()
    report = preprocess(cohort, params(store=two.model_dump()), tmp_path / "out", KEY, progress=False)
    assert 4 <= report.resumed < 20
    assert contents(tmp_path) == {"out": None, **{f"out/{name}": data for name, data in by_one.items()}}


def test_a_cluster_without_workers_is_not_waited_for_for_ever(monkeypatch):
    need("dask")
    from distributed import LocalCluster

    monkeypatch.setattr("ecgssl.pool.PATIENCE", 0.1)
    reported = r"store.scheduler: tcp://.*: has had no worker for 0.1 s"
    with (
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None) as cluster,
        pytest.raises(InputError, match=reported),
    ):
        list(spread(double, [(1,), (2,)], 2, settings("dask", scheduler=cluster.scheduler_address)))


@pytest.mark.parametrize("backend", ["loky", "dask", "ray"])
def test_every_backend_makes_the_same_bytes(backend, cohort, by_one, tmp_path):
    """The backend starts two processes itself."""
    need(backend)
    preprocess(cohort, params(store={**TWO, "backend": backend}), tmp_path / "two", KEY, progress=False)
    assert len(list((tmp_path / "two").glob("shard-*"))) == 5
    assert contents(tmp_path / "two") == by_one


@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_an_absent_extra_is_named(backend, monkeypatch):
    monkeypatch.setitem(sys.modules, EXTRAS[backend], None)
    with pytest.raises(InputError, match=rf"store.backend: {backend}: .*pip install 'ecgssl\[{backend}\]'"):
        list(spread(double, [(1,)], 1, settings(backend)))
