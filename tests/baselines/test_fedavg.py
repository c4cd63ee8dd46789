"""Federated averaging against what it must agree with."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtdamp.baselines.fedavg import FedAvg
from emtdamp.baselines.methods import Adam, Gradual, Problem
from emtdamp.errors import UsageError

pytestmark = pytest.mark.slow


def problem(epochs=2, keep=8):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 3))
    y = np.digitize(x[:, 0], [-0.5, 0.5]).astype(np.int32)
    return Problem(x, y, np.arange(90), 3, (8,), "relu", (3, keep), epochs, 10, 0, {})


def test_a_round_of_one_client_is_adam():
    method = Adam(1e-2, "constant")
    alone, _ = method.train(problem())
    found = FedAvg(method, passes=2).train(problem(), [np.arange(90)])
    for ours, theirs in zip(found.mean, alone.mean, strict=True):
        assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_clients_with_the_same_rows_are_one():
    # all rows in one minibatch, so that their order does not matter
    given = problem()._replace(batch_size=90)
    one = FedAvg(Adam(1e-2)).train(given, [np.arange(90)])
    three = FedAvg(Adam(1e-2)).train(given, [np.arange(90)] * 3 + [np.arange(0)])
    for ours, theirs in zip(three.mean, one.mean, strict=True):
        assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_server_drops_neurons_and_sends_fewer_bytes():
    rounds = []
    parts = np.array_split(np.arange(90), 3)
    method = Gradual(1e-2)
    found = FedAvg(method).train(problem(10, keep=4), parts, lambda r, _: rounds.append(r))
    assert found.active[1].sum() == 4
    whole, half = ((3 + 1) * n + (n + 1) * 3 for n in (8, 4))
    # answers are as large as the round's message: the server drops after they have come
    neurons = [(each.bytes / (2 * 3 * 4) - 3) / 7 for each in rounds]
    assert set(neurons) <= {4, 5, 6, 7, 8} and len(set(neurons)) > 2
    assert rounds[0].bytes == 2 * 3 * 4 * whole and rounds[-1].bytes == 2 * 3 * 4 * half


def test_nobody_with_a_row_is_refused():
    with pytest.raises(UsageError, match="no client has a row"):
        FedAvg(Adam()).train(problem(), [np.arange(0)])
    with pytest.raises(UsageError, match="passes=0"):
        FedAvg(Adam(), passes=0)
