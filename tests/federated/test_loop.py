"""The plain loop: what it must agree with, and what must not matter."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emtdamp.federated import server
from emtdamp.federated.client import Client
from emtdamp.federated.loop import Rows, ask_all, make_clients, run
from emtdamp.federated.partition import partition
from emtdamp.federated.settings import Federation
from emtdamp.scaling import scaling
from emtdamp.training import fitting, starts
from emtdamp.training.recipe import Data

pytestmark = pytest.mark.slow

SETTINGS = Federation(hidden=(8,), outputs=3, rounds=3, batch_size=10, half=False)


def rows(number=90, seed=0):
    """Three classes on the line between two corners, and a column that never varies."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.normal(size=(number, 3)), np.ones(number)])
    return Rows(x, np.digitize(x[:, 0] + 0.3 * x[:, 1], [-0.5, 0.5]))


def clients(number=3, settings=SETTINGS):
    """`rows` dealt out to so many, all in one compiled epoch."""
    x, y = rows()
    parts = partition("iid", y, number, seed=0)
    return [Client(settings, k, x[part], y[part], like=90) for k, part in enumerate(parts)]


def same(one, other, rtol=1e-6):
    for ours, theirs in zip(one.layers, other.layers, strict=True):
        assert_allclose(ours.mean, theirs.mean, rtol=rtol, atol=rtol)
        assert_allclose(ours.curvature, theirs.curvature, rtol=rtol)


def test_one_client_is_a_fit_of_all_rows(monkeypatch):
    monkeypatch.setattr(fitting, "padded_shape", lambda *shape: shape)  # another order of rows
    x, y = rows()
    found = run(SETTINGS, clients(1))
    recipe = SETTINGS.recipe(90, 1, 3)
    data = Data(scaling(x, np.ones(90), 0.5)(x), y.astype(np.int32), np.ones(90))
    # each round starts with no velocity
    progress, trained = starts.start(recipe, 3, SETTINGS.seed), None
    for number in range(3):
        trained = fitting.train(data, recipe, SETTINGS.seed, progress, until=number + 1)
        progress = trained.progress
        layers = tuple(
            layer._replace(velocity=0 * layer.velocity) for layer in progress.state.layers
        )
        progress = progress._replace(state=progress.state._replace(layers=layers))
    for ours, theirs in zip(found.layers, progress.state.layers, strict=True):
        mean, precision = (starts.without_padding(a, len(ours.mean) - 1) for a in theirs[:2])
        assert_allclose(ours.mean, mean, rtol=1e-5, atol=1e-6)
        assert_allclose(ours.curvature, precision / progress.state.count, rtol=1e-5)
    assert trained is not None
    both = server.posterior(SETTINGS, found).var, trained.posterior.var
    for ours, theirs in zip(*both, strict=True):
        assert_allclose(ours, theirs, rtol=1e-5)


def test_a_part_of_the_last_step_is_gone_again(monkeypatch):
    made = clients()
    states: list[server.Server] = []
    run(SETTINGS, made, lambda state, _: states.append(state), until=2)
    one, two = states
    share = SETTINGS.momentum(3, np.full(3, 1 / 3), 1)
    monkeypatch.setattr(Federation, "momentum", lambda *_: 0.0)
    without, _ = server.server_round(SETTINGS, one, ask_all(made, server.message(SETTINGS, one)))
    start = server.begin(SETTINGS, [client.summary() for client in made])
    for first, begun, plain, found in zip(
        one.layers, start.layers, without.layers, two.layers, strict=True
    ):
        assert_allclose(found.mean - plain.mean, share * (first.mean - begun.mean), atol=1e-9)
        assert_array_equal(found.curvature, plain.curvature)


def test_the_order_of_clients_changes_nothing():
    same(run(SETTINGS, clients()), run(SETTINGS, clients()[::-1]))


def test_clients_without_rows_change_nothing():
    """Nor how far a round goes, which is by the number of clients."""
    x, y = rows()
    nobody = [Client(SETTINGS, number, x[:0], y[:0]) for number in range(3, 9)]
    infos = []
    with_them = run(SETTINGS, [*clients(), *nobody], lambda _, info: infos.append(info))
    same(run(SETTINGS, clients()), with_them)
    assert infos[-1].heard == tuple(range(9)) and infos[-1].refused == {}


def test_scales_are_those_of_all_rows():
    x, _ = rows()
    pooled = scaling(x, np.ones(90), 0.5)
    state = server.begin(SETTINGS, [client.summary() for client in clients()])
    assert_array_equal(state.columns, np.flatnonzero(pooled.live))
    assert_allclose(state.center, pooled.center[pooled.live])
    assert_allclose(state.scale, pooled.scale[pooled.live])


@pytest.mark.parametrize(("factor", "offset"), [(1.0, 0.0), (1.0, 1e9), (1e130, 0.0), (1e-100, 0)])
def test_clients_scale_as_the_posterior_does(factor, offset):
    x, y = rows()
    x = factor * x + offset
    made = [Client(SETTINGS, k, x[k::3], y[k::3]) for k in range(3)]
    state = server.begin(SETTINGS, [client.summary() for client in made])
    message = server.message(SETTINGS, state)
    assert_allclose((message["center"] - state.center) / state.scale, 0, atol=1e-4)
    assert_allclose(message["scale"] / state.scale, 1, atol=1e-4)
    if (factor, offset) == (1.0, 0.0):
        assert message["center"].dtype == message["scale"].dtype == np.float32


def test_rows_that_are_counted_once_leave_a_wider_posterior():
    plain = replace(SETTINGS, rule="plain")
    counted = server.posterior(SETTINGS, run(SETTINGS, clients()))
    once = server.posterior(plain, run(plain, clients(settings=plain)))
    assert (once.var[-1] > 1.5 * counted.var[-1]).all()


def test_float16_has_half_the_bytes_and_the_same_predictions():
    halved = replace(SETTINGS, half=True)
    sizes = []
    exact = run(SETTINGS, clients(), lambda _, info: sizes.append(info.bytes_up))
    found = run(halved, clients(settings=halved), lambda _, info: sizes.append(info.bytes_up))
    scalars = 3 * (3 * 4 + 5 * 8 - 4)  # of three answers
    assert sizes[-1] - scalars == pytest.approx((sizes[0] - scalars) / 2, abs=100)
    x, _ = rows()
    one, other = (
        np.exp(server.posterior(settings, state).log_probabilities(x))
        for settings, state in [(SETTINGS, exact), (halved, found)]
    )
    assert_allclose(one, other, atol=0.03)


def test_all_clients_lose_the_same_neurons():
    settings = replace(SETTINGS, sparsity=0.5, rounds=60)
    left = []
    state = run(settings, clients(settings=settings), lambda s, info: left.append(info.active[1]))
    assert left[-1] == 4 and left == sorted(left, reverse=True)
    assert [layer.mean.shape for layer in state.layers] == [(4, 4), (5, 3)]
    posterior = server.posterior(settings, state)
    assert posterior.active[1].sum() == 4
    x, y = rows()
    small = posterior.prune().log_probabilities(x)
    assert_allclose(small, posterior.log_probabilities(x), atol=1e-9)
    assert (small.argmax(1) == y).mean() > 0.6


def targets():
    """Of a client each: rows of one curve with noise 1, 15, 33 and 42 of them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 3))
    y = 30 + 5 * np.tanh(x[:, :1]) + rng.normal(size=(90, 1))
    return x, y, [Rows(x[part], y[part]) for part in np.split(np.arange(90), [15, 48])]


TARGETS = Federation(
    hidden=(8,), outputs=1, classes=False, rounds=40, passes=3, batch_size=10, half=False
)


def test_targets_are_learnt_with_their_noise():
    x, y, parts = targets()
    posterior = server.posterior(TARGETS, run(TARGETS, make_clients(TARGETS, parts)))
    mean, var = posterior.propagate(x)
    assert np.mean((mean - y) ** 2) < 0.2 * y.var()
    # EM is at rest where v is the mean of E[eps^2] given y, over all rows
    var, v = var / posterior.inflation, float(np.squeeze(posterior.noise_variance))
    expected = (v * (y - mean) / (v + var)) ** 2 + v * var / (v + var)
    assert 0.3 < v < 3.0
    assert v == pytest.approx(expected.mean(), rel=0.25)  # it follows by a window


def test_targets_are_on_the_scale_of_all_rows_and_their_noise_is_of_all_rows():
    _, y, parts = targets()
    parts = [Rows(part.x, part.y + 7 * number) for number, part in enumerate(parts)]
    y = np.concatenate([part.y for part in parts])
    made = make_clients(TARGETS, parts)
    state = server.begin(TARGETS, [client.summary() for client in made])
    assert_allclose(state.y_center, y.mean(0))
    assert_allclose(state.y_scale, y.std(0))
    message = server.message(TARGETS, state)
    answers = {client.number: client.answer(message) for client in made}
    first, _ = server.server_round(TARGETS, state, answers)
    sums = [float(answer["noise"]) for answer in answers.values()]
    assert first.noise == pytest.approx(sum(sums) / (90 * TARGETS.passes))


def test_a_minibatch_that_is_not_full_says_what_its_rows_say():
    """5 rows in a minibatch of 10 are 5 rows twice: the server counts minibatches as full."""
    x, y = rows()
    few, twice = Rows(x[:5], y[:5]), Rows(np.tile(x[:5], (2, 1)), np.tile(y[:5], 2))
    state = server.begin(SETTINGS, [client.summary() for client in clients()])
    message = server.message(SETTINGS, state)
    one, other = (Client(SETTINGS, 0, *part, like=90).answer(message) for part in (few, twice))
    assert int(one["rows"]) == float(one["noise_rows"]) == 5
    for name, array in other.items():
        if name.startswith(("mean", "curvature", "count")):
            assert_allclose(one[name], array, rtol=1e-6, atol=1e-9)
