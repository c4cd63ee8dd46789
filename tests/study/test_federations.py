"""Federated methods on a task: what is tried, and what targets need."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from emtdamp.baselines.fedavg import FedAvg
from emtdamp.baselines.methods import Adam
from emtdamp.errors import UsageError
from emtdamp.federated.settings import Federation
from emtdamp.study import federated_settings, federations, runs
from emtdamp.study.chapters import federated_run


def test_every_setting_in_the_table_is_one_that_is_tried():
    tried = [each.key() for each in federations.candidates()]
    rows = [tuple(row[name] for name in federations.COLUMNS[:8]) for row in federations.table()]
    assert sorted(rows) == sorted(tried) and len(set(tried)) == len(tried)
    for method in ("fedavg, gradual", "fedavg, group snip", "fedavg, variational"):
        found = federations.best(method, "mnist", "iid", 1)
        assert type(found.method) is federations.KINDS[method]
    with pytest.raises(UsageError, match="was not tried on boston"):
        federations.best("fedavg, variational", "boston", "iid", 1)


def test_every_trial_of_our_constants_is_in_its_table():
    tried = [each.key() for each in federated_settings.trials()]
    rows = [tuple(row.values())[:6] for row in federated_settings.table()]
    assert sorted(rows) == sorted(tried) and len(set(tried)) == len(tried)
    changed = federated_settings.with_change("clip=0.05 warmup=10", rounds=3)
    assert changed.tuned == Federation.tuned._replace(clip=0.05, warmup=10)
    assert changed.recipe(60_000, 10, 700).schedule.clip == 0.05


@pytest.mark.slow
def test_settings_are_chosen_on_training_rows():
    for task in federations.held("boston"):
        assert len(task.x) + len(task.x_test) == 455
    (task,) = federations.held("mnist")
    images = runs.mnist(60_000)
    assert np.array_equal(task.x_test, images.x[50_000:]) and len(task.x) == 50_000


def test_other_data_are_refused():
    run = federated_run.Run("iris", "fedavg", 500, 1, 3, "iid", 1, 1, 100.0, 0)
    with pytest.raises(UsageError, match="data='iris'"):
        federated_run.train(run)
    with pytest.raises(UsageError, match="splits=0"):
        federated_run.train(run._replace(data="boston", splits=0))


@pytest.mark.slow
def test_the_noise_of_targets_is_that_of_rows_held_back(monkeypatch):
    whole = runs.boston(0)
    task = whole._replace(x=whole.x[:420:7], y=whole.y[:420:7])
    parts = np.array_split(np.arange(60), 3)
    method, networks = FedAvg(Adam(1e-2)), []

    def watch(_: object, network: object) -> None:
        networks.append(network)

    trained = FedAvg.train
    calls = []

    def seen(self, problem, given, report=None):
        calls.append((problem, given))
        return trained(self, problem, given, report)

    monkeypatch.setattr(FedAvg, "train", seen)
    found: Any = federations.averaged(task, parts, method, True, 2)
    (problem, less), (_, all_) = calls
    back = np.setdiff1d(np.arange(60), np.concatenate(less))
    assert list(back) == [0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55]
    assert sum(map(len, all_)) == 60
    # the noise of a round, from the networks that have not seen these rows
    trained(method, problem, less, watch)
    away = networks[1].propagate(problem.x[back])[0] - problem.y[back]
    noise = np.mean(away**2)
    known: Any = federations.averaged(task, parts, method, True, 2, noise=np.array([1.0, noise]))
    assert found["nll"][2] == pytest.approx(known["nll"][2], rel=1e-6)
    assert found["nll"][1] != known["nll"][1]
    assert found["error"].tolist() == known["error"].tolist()
    # error and nll are in units of y
    trained(method, problem, parts, watch)
    last = replace(networks[-1], noise=1.0)
    mean = last.propagate(_scaled(task, problem))[0][:, 0] * task.y.std() + task.y.mean()
    squares = np.sum((mean - task.y_test) ** 2)
    assert found["error"][2] == pytest.approx(
        squares / np.sum((task.y.mean() - task.y_test) ** 2), rel=1e-5
    )


def _scaled(task, problem):
    """Test rows on the scales of the problem's, found again from the rows."""
    slope = [np.polyfit(a, b, 1) for a, b in zip(task.x.T, problem.x.T, strict=True)]
    return np.column_stack([np.polyval(s, c) for s, c in zip(slope, task.x_test.T, strict=True)])
