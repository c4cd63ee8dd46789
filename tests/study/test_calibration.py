"""The predicted variance of the noiseless output against the squared error of its mean."""

import numpy as np
import pytest
import tensorflow as tf

from emtdamp.errors import UsageError
from emtdamp.messages import damp, equilibrium
from emtdamp.messages.damp import Batch
from emtdamp.study import pages, teachers

pytestmark = pytest.mark.slow


def test_a_linear_teacher_is_predicted_as_well_as_it_is_known():
    predicted, actual = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x, new = (
            np.pad(rng.normal(size=(200, 50)), [(0, 0), (0, 1)], constant_values=1.0)
            for _ in range(2)
        )
        truth = rng.normal(size=(51, 1))
        y = x @ truth + 0.5**0.5 * rng.normal(size=(200, 1))
        batch = Batch(tf.constant(x), tf.constant(y), tf.ones([200], tf.float64))
        start = equilibrium.draw([50, 1], [1.0], 0.5, seed)
        at = equilibrium.settle(
            teachers.NETWORK, start, batch, damping=0.2, momentum=0.0, tolerance=1e-6
        )
        weights = equilibrium.posterior(at.state)
        mean, var = damp.propagate(teachers.NETWORK, weights, tf.constant(new))
        predicted.append(np.mean(var))
        actual.append(np.mean((mean - new @ truth) ** 2))
    assert np.mean(predicted) / np.mean(actual) == pytest.approx(1, abs=0.15)  # measured 1.02


def test_a_teacher_is_a_draw_of_the_students_prior():
    problem = teachers.draw(100, 5, 20, 0.1, seed=0)
    assert problem.x.shape == (100, 6) and problem.y.shape == (100, 1)
    assert problem.new_x.shape == (500, 6) and problem.new_z.shape == (500, 1)
    assert problem.slab == (1 / 5, 1 / 20)
    one, two = (teachers.draw(100, 5, 20, 1e-20, seed=0), teachers.draw(100, 5, 20, 0.1, seed=0))
    np.testing.assert_array_equal(one.new_z, two.new_z)
    assert np.var(two.y - one.y) == pytest.approx(0.1, rel=0.4)
    with pytest.raises(UsageError, match="rows=1001; give at most 1000"):
        teachers.draw(1001, 5, 20, 0.1, seed=0)


@pytest.fixture(scope="module")
def counted():
    """Ratio, sum V/v and response of one hidden layer for each count; the first teacher's ratio."""
    problems = [teachers.draw(300, 5, 5, 0.1, seed) for seed in range(4)]
    table = {}
    for counts in (1.0, 2.0, 4.0):
        learnt = [
            teachers.learn(p, "decoupled", counts=counts, seed=t) for t, p in enumerate(problems)
        ]
        found = np.array(
            [teachers.calibration(*pair) for pair in zip(problems, learnt, strict=True)]
        )
        freedom = [
            teachers.degrees_of_freedom(p, s, t)
            for t, (p, s) in enumerate(zip(problems, learnt, strict=True))
        ]
        variance, error = found.mean(0)
        table[counts] = variance / error, *np.mean(freedom, axis=0), found[0, 0] / found[0, 1]
    return table


def test_the_ratio_falls_with_the_count_through_one(counted):
    ratios = [counted[c][0] for c in (1.0, 2.0, 4.0)]
    assert ratios[0] > ratios[1] > ratios[2]
    assert 1.1 < ratios[0] < 2.0  # measured 1.4
    assert 0.4 < ratios[1] < 0.9  # measured 0.6
    assert 0.15 < ratios[2] < 0.4  # measured 0.25


def test_degrees_of_freedom_cross_where_the_ratio_is_one(counted):
    (one, held, response, _), (two, held_2, response_2, _) = counted[1.0], counted[2.0]
    assert held > response and held_2 < response_2
    surplus = np.log([held / response, held_2 / response_2])
    share = surplus[0] / (surplus[0] - surplus[1])
    matched = np.exp((1 - share) * np.log(one) + share * np.log(two))
    assert matched == pytest.approx(1, abs=0.3)  # measured 0.96; four teachers tell to 0.2


def test_a_window_counts_each_datum_as_often_as_it_was_seen():
    problem = teachers.draw(300, 5, 5, 0.1, seed=0)
    student = teachers.learn(problem, "window", seed=0)
    # the last 1200 of 4000 steps and the window before them, in epochs of 15 steps
    assert student.counts == pytest.approx(1200 / 15 + teachers.MEMORY, rel=0.01)
    variance, error = teachers.calibration(problem, student)
    assert variance < 0.05 * error
    once, error = teachers.calibration(problem, student.counting(1.0))
    assert 0.2 < once / error < 5  # measured 1.6


def test_the_study_is_what_module_a_gives(counted):
    row = pages.study("calibration").set_index(["rows", "hidden"]).loc[(300, 5)]
    # thousands of steps: rounding has grown, but one teacher's ratio is not another's
    assert counted[1.0][3] == pytest.approx(row["first_ratio"], rel=0.05)


def test_the_range_that_is_reached():
    study = pages.study("calibration")
    assert len(study) == 9
    # as often as seen: far too narrow, the more so the fewer the samples
    for passes in (1, 3):
        by_rows = study.pivot(index="rows", columns="hidden", values=f"window_{passes}")
        assert by_rows.to_numpy().max() < 0.13
        assert all(by_rows[hidden].is_monotonic_increasing for hidden in by_rows)
    # once: too wide where the layer is wide and rows are many, whatever T
    wide = study[study["rows"] == 1000].set_index("hidden")
    for passes in (1, 3):
        assert wide[f"window_{passes}_once"].is_monotonic_increasing
        assert wide.loc[80, f"window_{passes}_once"] > 4
    assert study["ratio_1"].between(1.0, 4.5).all()
    by_width = study.groupby("hidden")["ratio_1"].mean()
    assert by_width.is_monotonic_increasing
    # by matched degrees of freedom: about right, at every size
    assert study["ratio_matched"].between(0.6, 1.5).all()
    assert study["ratio_matched"].mean() == pytest.approx(1, abs=0.15)
