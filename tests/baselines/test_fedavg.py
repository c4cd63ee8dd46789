"""Federated averaging against what it must agree with."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtdamp.baselines.fedavg import FedAvg, average
from emtdamp.baselines.methods import Adam, Gradual, GroupSNIP, Problem
from emtdamp.baselines.variational import BayesByBackprop
from emtdamp.errors import UsageError

pytestmark = pytest.mark.slow


def problem(epochs=2, keep=8):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 3))
    y = np.digitize(x[:, 0], [-0.5, 0.5]).astype(np.int32)
    return Problem(x, y, np.arange(90), 3, (8,), "relu", (3, keep), epochs, 10, 0, {})


@pytest.mark.parametrize(
    ("method", "rule", "keep"),
    [
        (Adam(1e-2, "constant"), "mean", 8),
        (GroupSNIP(1e-2, batches=4), "mean", 4),
        (BayesByBackprop(), "geometric", 8),
    ],
)
def test_a_round_of_one_client_is_the_training_of_all_rows(method, rule, keep):
    given = problem(keep=keep)
    alone, _ = method.train(given)
    found = FedAvg(method, 2, rule).train(given, [np.arange(90)])
    for one, two in ((found.mean, alone.mean), (found.var, alone.var)):
        for ours, theirs in zip(one, two, strict=True):
            assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert np.array_equal(found.active[1], alone.active[1]) and found.active[1].sum() == keep


def test_momentum_goes_the_last_rounds_step_again():
    parts = np.array_split(np.arange(90), 3)
    ends = {}
    for momentum in (0.0, 0.3, 0.6):
        rounds = []
        method = FedAvg(Adam(1e-2, "constant"), momentum=momentum)
        method.train(problem(), parts, lambda _, network, seen=rounds: seen.append(network.mean))
        ends[momentum] = rounds
    for layer in range(2):
        plain, some, more = (ends[m][1][layer] for m in (0.0, 0.3, 0.6))
        assert_allclose(ends[0.6][0][layer], ends[0.0][0][layer], atol=1e-6)  # no last round yet
        assert_allclose(more - plain, 2 * (some - plain), atol=1e-5)
        assert abs(more - plain).max() > 1e-3
    with pytest.raises(UsageError, match=r"momentum=1; give a number at least 0 and below 1"):
        FedAvg(Adam(), momentum=1)


def test_targets_are_learnt_too():
    given = problem()
    given = given._replace(y=given.x[:, :1].astype(np.float32), outputs=1)
    alone, _ = Adam(1e-2, "constant").train(given)
    found = FedAvg(Adam(1e-2, "constant"), passes=2).train(given, [np.arange(90)])
    for ours, theirs in zip(found.mean, alone.mean, strict=True):
        assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    with pytest.raises(UsageError, match="for classes only"):
        FedAvg(BayesByBackprop()).train(given, [np.arange(90)])


def test_gaussians_are_multiplied_by_their_shares():
    rng = np.random.default_rng(0)
    answers = [[rng.normal(size=(2, 3)), rng.normal(size=(2, 3))] for _ in range(3)]
    rows = [10, 30, 60]
    mean, rho = average("geometric", ["a/w_mean", "a/w_rho"], answers, rows)
    grid = np.linspace(-15, 15, 20_001)[:, None, None]
    log = np.zeros(1)
    for n, (m, r) in zip(rows, answers, strict=True):
        log = log - 0.5 * n / 100 * ((grid - m) / np.log1p(np.exp(r))) ** 2
    density = np.exp(log - log.max(axis=0))
    density /= density.sum(axis=0)
    centre = (grid * density).sum(axis=0)
    assert_allclose(mean, centre, atol=1e-9)
    sd = np.sqrt(((grid - centre) ** 2 * density).sum(axis=0))
    assert_allclose(np.log1p(np.exp(rho)), sd, rtol=1e-6)
    again = average("geometric", ["a/w_mean", "a/w_rho"], answers[::-1], rows[::-1])
    assert_allclose(again, [mean, rho], rtol=1e-12)


def test_a_client_without_rows_changes_nothing():
    parts = np.array_split(np.arange(90), 2)
    gaussians = FedAvg(BayesByBackprop(), rule="geometric")
    for method, keep in ((FedAvg(GroupSNIP(1e-2)), 4), (gaussians, 8)):
        found = [
            method.train(problem(keep=keep), given) for given in (parts, [np.arange(0), *parts])
        ]
        for one, two in zip(found[0].mean, found[1].mean, strict=True):
            assert_allclose(one, two, rtol=1e-6, atol=1e-7)


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


def test_bytes_of_scores_before_the_first_round_and_of_gaussians():
    parts = np.array_split(np.arange(90), 3)
    whole, half = ((3 + 1) * n + (n + 1) * 3 for n in (8, 4))
    rounds = []
    FedAvg(GroupSNIP()).train(problem(keep=4), parts, lambda r, _: rounds.append(r.bytes))
    assert rounds == [3 * 4 * (whole + 8) + 2 * 3 * 4 * half, 2 * 3 * 4 * half]
    rounds = []
    FedAvg(BayesByBackprop()).train(problem(), parts, lambda r, _: rounds.append(r.bytes))
    assert rounds == [2 * 3 * 8 * whole] * 2


def test_nobody_with_a_row_is_refused():
    with pytest.raises(UsageError, match="no client has a row"):
        FedAvg(Adam()).train(problem(), [np.arange(0)])
    with pytest.raises(UsageError, match="passes=0"):
        FedAvg(Adam(), passes=0)
    with pytest.raises(UsageError, match="rule='sum'"):
        FedAvg(Adam(), rule="sum")  # pyright: ignore[reportArgumentType]
    with pytest.raises(UsageError, match="is of Gaussians"):
        FedAvg(Adam(), rule="geometric")
