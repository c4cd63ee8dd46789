"""How clients count their rows, and settings that are refused."""

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from emtdamp.errors import UsageError
from emtdamp.federated.settings import Federation
from emtdamp.training.forms import Decoupled, Schedule


@pytest.mark.parametrize("rule", ["counted", "plain"])
@pytest.mark.parametrize("passes", [1, 3])
@pytest.mark.parametrize("own", [1000, 2500, 6500])
@pytest.mark.parametrize(("rows", "hidden"), [(10_000, 128), (100_000, 1500)])
def test_a_client_begins_where_the_server_is(rows, hidden, own, passes, rule):
    """With the minibatches of all clients, whatever its own rows are: they count n/n_k times.

    The smaller network's window is the shorter; of the larger one what was seen is, at first.
    """
    settings = Federation(hidden=(hidden,), rounds=10, passes=passes, rule=rule)
    recipe = settings.recipe(rows, 3, 700)
    steps = -(-own // settings.batch_size)
    for done in range(10):
        given = settings.schedule(recipe, rows, 3, own, done)
        schedule = Schedule(*(tf.constant(value, tf.float64) for value in given))
        k = tf.constant(float(done * passes * steps), tf.float64)
        rates = Decoupled().rates(schedule, k, tf.constant(float(steps), tf.float64), k)
        server = settings.effective_minibatches(recipe, rows, 3, done)
        # one minibatch more, the one that comes
        assert float(rates.effective_minibatches) == pytest.approx(server, abs=1.0 + 1e-9)


def test_the_minibatches_behind_the_posterior_are_those_of_all_rows_or_of_a_client():
    counted, plain = (Federation(rule=rule) for rule in ("counted", "plain"))
    recipe = counted.recipe(60_000, 10, 700)
    ends = [settings.effective_minibatches(recipe, 60_000, 10, 10) for settings in (counted, plain)]
    assert ends[0] == pytest.approx(10 * ends[1])
    assert ends[0] == pytest.approx(recipe.schedule.width_end * 600)


def test_classes_begin_with_few_minibatches_and_targets_count_more_throughout():
    class Untuned(Federation):
        tuned = Federation.tuned._replace(early_width=1.0, target_width=1.0)

    for given, start, end in (({}, 0.25, 1.0), ({"classes": False, "outputs": 1}, 2.0, 2.0)):
        one, other = (kind(**given).recipe(400, 5, 13).schedule for kind in (Federation, Untuned))
        assert one.width_start == pytest.approx(start * other.width_start)
        assert one.width_end == pytest.approx(end * other.width_end)


def test_many_clients_go_far_first_and_on_over_rounds_and_one_goes_as_a_fit_does():
    settings = Federation(rounds=10)
    gains = [settings.gain(1000, done) for done in range(10)]
    assert gains == sorted(gains, reverse=True) and gains[0] > 3 and gains[-1] < 0.5
    even, alone = np.full(1000, 1e-3), np.ones(1)
    again = [settings.momentum(1000, even, done) for done in range(10)]
    assert again[0] == 0 and 0 < min(again[1:]) and max(again) < 1
    # a step's gain is gain (1 - f): this much of the last one is this much of an equal one
    assert again[4] == pytest.approx(0.999 * 0.9 * gains[4] * 5.5 / (gains[3] * 6.5))
    uneven = settings.momentum(1000, np.array([0.5, 0.3, 0.2]), 4)
    assert uneven == pytest.approx((1 - 0.38) / 0.999 * again[4])
    # one with nearly all rows is as good as alone
    assert settings.momentum(1000, np.array([0.99, 0.01]), 4) < 0.02 * again[4]
    for done in range(10):
        assert settings.gain(1, done) == 1 and settings.momentum(1, alone, done) == 0


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"rounds": 0}, "rounds=0"),
        ({"passes": 1.5}, "passes=1.5"),
        ({"outputs": 1}, "outputs=1"),
        ({"rule": "mean"}, "use one of counted, plain"),
        ({"sparsity": 1.0}, "sparsity=1.0"),
        ({"sparsity": "auto"}, "sparsity='auto'"),
        ({"sparsity": ("auto",)}, "sparsity=('auto',)"),
        ({"hidden": ()}, "one hidden layer at least"),
        ({"hidden": (0,)}, "hidden_layer_sizes"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": "auto"}, "batch_size='auto'"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 1.5}, "seed=1.5"),
        ({"half": "no"}, "half='no'; give True or False"),
        ({"classes": 0}, "classes=0; give True or False"),
    ],
)
def test_other_settings_are_refused_by_name(given, named):
    with pytest.raises(UsageError) as raised:
        Federation(**given)
    assert named in str(raised.value)


def test_numpy_numbers_are_numbers():
    assert Federation(rounds=np.int64(3)).rounds == 3  # pyright: ignore
    assert Federation(hidden=[np.int64(8), 4]).hidden == (8, 4)  # pyright: ignore
    given: dict[str, Any] = {"rounds": np.int64(3), "seed": np.int32(1), "classes": np.True_}
    given["sparsity"] = np.float32(0.5)
    written = json.dumps(asdict(Federation(**given)))
    assert written == json.dumps(asdict(Federation(rounds=3, seed=1, sparsity=0.5)))
    assert Federation(sparsity=np.array([0.25])).sparsity == 0.25  # pyright: ignore
    assert Federation(hidden=(8, 4), sparsity=(0, 0.5)).sparsity == (0.0, 0.5)


def test_a_minibatch_is_the_settings_however_few_rows_an_average_client_has():
    """A client with more rows would make steps that the schedule does not count."""
    assert Federation(batch_size=1000).recipe(900, 3, 5).batch_size == 1000
