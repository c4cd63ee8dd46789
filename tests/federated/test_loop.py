"""The plain loop: what it must agree with, and what must not matter."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtdamp.federated import server
from emtdamp.federated.loop import Rows, ask_all, make_clients, run
from emtdamp.federated.settings import Federation
from emtdamp.federated.partition import partition
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


def split(all_rows, clients, seed=0):
    parts = partition("iid", all_rows.y, clients, seed)
    return [Rows(all_rows.x[part], all_rows.y[part]) for part in parts]


def test_one_client_is_a_fit_of_all_rows(monkeypatch):
    monkeypatch.setattr(fitting, "padded_shape", lambda *shape: shape)  # another order of rows
    x, y = rows()
    found = run(SETTINGS, make_clients(SETTINGS, [Rows(x, y)]))
    recipe = SETTINGS.recipe(90, 1, 3)
    data = Data(scaling(x, np.ones(90), 0.5)(x), y.astype(np.int32), np.ones(90))
    # each round starts with no velocity
    progress = starts.start(recipe, 3, SETTINGS.seed)
    for number in range(3):
        trained = fitting.train(data, recipe, SETTINGS.seed, progress, until=number + 1)
        progress = trained.progress
        layers = tuple(layer._replace(velocity=0 * layer.velocity) for layer in progress.state.layers)
        progress = progress._replace(state=progress.state._replace(layers=layers))
    for ours, theirs in zip(found.layers, progress.state.layers, strict=True):
        mean, precision = (starts.without_padding(a, len(ours.mean) - 1) for a in theirs[:2])
        assert_allclose(ours.mean, mean, rtol=1e-5, atol=1e-6)
        assert_allclose(ours.curvature, precision / progress.state.count, rtol=1e-5)
    var = trained.posterior.var
    for ours, theirs in zip(server.posterior(SETTINGS, found).var, var, strict=True):
        assert_allclose(ours, theirs, rtol=1e-5)
