"""Figures show the data they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from emtdamp.study import plots


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def history(values):
    index = pd.RangeIndex(1, len(values) + 1, name="iteration")
    columns = ("val_accuracy", "val_precision", "val_recall", "val_f1", "active_neurons",
               "pruned_accuracy", "sparsity")  # fmt: skip
    return pd.DataFrame(dict.fromkeys(columns, values), index=index)


def test_every_seed_is_a_thin_line_and_their_mean_a_thick_one():
    ax = plots.accuracy([history([0.5, 0.7]), history([0.7, 0.9])], reported=0.8)
    thin, other, thick, reported = ax.get_lines()
    assert [line.get_ydata().tolist() for line in (thin, other)] == [[0.5, 0.7], [0.7, 0.9]]
    np.testing.assert_allclose(thick.get_ydata(), [0.6, 0.8])
    assert thick.get_linewidth() > thin.get_linewidth()
    assert reported.get_linestyle() == "--" and reported.get_ydata()[0] == 0.8


def test_one_seed_is_one_line():
    assert len(plots.accuracy([history([0.5, 0.7])]).get_lines()) == 1


def test_a_run_that_stopped_early_does_not_end_the_mean():
    ax = plots.accuracy([history([0.5, 0.7, 0.9]), history([0.7])])
    np.testing.assert_allclose(ax.get_lines()[-1].get_ydata(), [0.6, 0.7, 0.9])


def test_the_confusion_matrix_shows_counts_and_colours_shares():
    ax = plots.confusion(np.array([[8, 2], [0, 5]]))
    assert [text.get_text() for text in ax.texts] == ["8", "2", "0", "5"]
    np.testing.assert_allclose(ax.collections[0].get_array().ravel(), [0.8, 0.2, 0, 1])


def test_percentages_are_not_rounded_to_wrong_labels():
    ax = plots.accuracy([history([0.875, 0.9])])
    ax.set_yticks([0.875, 0.9])
    ax.figure.canvas.draw()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["87.50%", "90.00%"]


def test_bars_are_means_with_their_range():
    ax = plots.class_bars(np.array([[0.1, 0.3], [0.3, 0.3]]), "variance", "C0")
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], [0.2, 0.3])
    segments = ax.collections[0].get_segments()
    np.testing.assert_allclose([s[:, 1] for s in segments], [[0.1, 0.3], [0.3, 0.3]])


def test_the_other_figures_draw():
    runs = [history([0.5, 0.5]), history([0.5, 0.5])]
    assert plots.active_neurons(runs, 128).get_ylim()[0] == 0
    assert len(plots.precision_recall_f1(runs).get_legend().texts) == 3
    assert len(plots.dense_and_pruned(runs).get_legend().texts) == 2
    assert len(plots.sparsity_and_accuracy(runs).collections) == 2
    assert len(plots.rho_distribution([np.array([0.0, 0.7])]).patches) == 40
    curve = {"a": ("C0", np.array([[0.9, 0.5], [0.8, 0.4]]))}
    ax = plots.accuracy_when_removed(curve, np.array([0.0, 0.5]))
    np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), [0.85, 0.45])


def test_a_method_keeps_its_colour():
    ours = [history([0.5, 0.7])]
    for draw in (
        plots.accuracy(ours, method="em-tdamp"),
        plots.active_neurons(ours, 10, method="em-tdamp"),
        plots.score_by_iteration(ours, "val_accuracy", "test accuracy", "em-tdamp"),
    ):
        assert draw.get_lines()[0].get_color() == plots.COLOURS["em-tdamp"]
        assert draw.get_ylabel()


def test_predictions_tell_intervals_that_miss():
    targets, mean, std = np.arange(5.0), np.arange(5.0), np.full(5, 0.5)
    mean[2] = 4.0
    ax = plots.predictions(targets, mean, std, "price")
    held, missed, diagonal = ax.get_lines()
    assert held.get_xdata().tolist() == [0, 1, 3, 4] and missed.get_ydata().tolist() == [4]
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0.0, 4.0]


def test_coverage_of_a_calibrated_prediction_lies_in_its_band():
    rng = np.random.default_rng(0)
    mean, std = np.zeros(400), np.full(400, 2.0)
    ax = plots.coverage(2 * rng.normal(size=400), mean, std)
    diagonal, measured = ax.get_lines()
    levels, inside = measured.get_data()
    assert inside[0] == 0 and inside[-1] == 1
    assert np.abs(inside - levels).max() < 0.07  # 1.36/sqrt(400): Kolmogorov at 5 %
    wide = plots.coverage(2 * rng.normal(size=400), mean, 3 * std).get_lines()[1]
    assert wide.get_ydata()[100] > 0.9
    assert diagonal.get_xdata()[100] == pytest.approx(0.5)
