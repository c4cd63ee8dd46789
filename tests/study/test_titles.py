"""Where a page's title or a typed sentence states a finding, the committed study says so."""

from pathlib import Path
from typing import Any

import pytest

from emtdamp.study import claims, contests, pages
from emtdamp.study.chapters import comparison, depth, mnist_rounds

TITLES = pages.titles(Path(__file__).parents[2] / "book")
REPORTED = 0.9277  # the report's accuracy


def test_fewer_passes():
    """Whatever error a rival ends with, EM-TDAMP is below it in fewer passes, pruned or not."""
    assert "needs fewer passes" in TITLES["mnist-rounds"]
    rounds = mnist_rounds.read()
    mean = rounds.mean("error")
    for kept in ("50", "100"):
        ours = mean.loc[f"em-tdamp {kept}"]
        for rival in (case for case in rounds.rivals if case.endswith(f" {kept}")):
            limit = mean.loc[rival].iloc[9]  # after ten passes
            reached = [int((curve <= limit).idxmax()) for curve in (ours, mean.loc[rival])]
            assert (ours <= limit).any() and reached[0] < reached[1], rival


def test_published_networks_err_less():
    assert "published networks of that size err less" in TITLES["depth"]
    sizes = depth.read()
    assert len(sizes.mean) >= 2
    for _, ours in sizes.mean.iterrows():
        published = [
            percent / 100
            for left, percent in depth.PUBLISHED.values()
            if depth.parameters(*left) <= ours["parameters"]
        ]
        assert min(published) < ours["error"]


def test_the_accuracy_comes_out_again_by_luck_and_the_pruning_does_not():
    assert TITLES["results"] == "Results: the accuracy comes out again, the pruning does not"
    assert TITLES["spread"] == "The reported accuracy is possible, but lucky"
    study = pages.study("report-seeds")
    accuracy, pruned = study["accuracy_mean"], study["pruned_accuracy"]
    assert accuracy.max() >= REPORTED  # possible
    assert (accuracy >= REPORTED).mean() < 0.25  # but lucky
    assert abs(accuracy.mean() - REPORTED) < 2 * accuracy.std()
    assert claims.compare(accuracy, pruned, paired=True).standing == "behind"  # more is better
    assert pruned.mean() < accuracy.mean() - 0.05


def test_plain_networks_do_better():
    assert TITLES["typical-mlps"] == "Plain networks do better than the report's program"
    study = pages.study("typical-mlps")
    for plain in ("adam 64", "adam, 0.005 64"):
        gap = study[f"{plain}: accuracy"] - study["report 128: accuracy"]
        assert gap.mean() > 2 * gap.sem() > 0


def test_half_of_the_neurons_do_no_worse():
    """The conclusion, of 32 plain neurons beside the program's 128."""
    dense = pages.study("typical-mlps")["adam 32: accuracy"]
    program = pages.study("report-seeds")["accuracy_mean"]
    assert claims.compare(dense, program, paired=False, more_is_better=True).standing != "behind"


def test_no_neuron_is_pruned_and_adam_forgets():
    assert TITLES["audit"] == "The audit: no neuron is pruned, and Adam forgets"
    study: Any = pages.study("report-repairs")
    assert (study["zero weights"] == 0).all() and study["same probabilities"].all()
    gain = study["Adam keeps its moments: accuracy"] - study["as printed: accuracy"]
    assert gain.min() > 0.01


def test_the_papers_algorithm_prunes_late():
    assert TITLES["paper-form"] == "Left to itself, the paper's algorithm prunes late"
    study = pages.study("paper-choices")
    free = study[study["setting"] == "as it is"].groupby("em_iters")["active_free"]
    left = free.mean() / 128
    assert left[10] > 0.9 and left[40] < 0.6


def test_what_each_part_of_the_papers_algorithm_brings():
    """The sentences below the tables of the page `paper-form`."""
    study = pages.study("paper-choices").query("em_iters == 10")
    nll: Any = study.groupby("setting")[["nll_free", "nll_32", "nll_13"]].mean()
    printed = nll.loc["as it is"]
    longer, longest = nll.loc["window of 4 passes"], nll.loc["window of 8 passes"]
    assert (printed < longer).all() and (longer < longest).all()
    assert nll.loc["slabs held", "nll_free"] > printed["nll_free"]  # EM for the slab helps
    assert nll.loc["slabs held", "nll_32"] < printed["nll_32"]  # and costs
    assert (nll.loc["v held"] - printed).abs().max() < 0.005  # EM for v changes little
    inner = nll.loc["two inner passes"] - printed
    assert inner["nll_free"] < 0 < inner[["nll_32", "nll_13"]].min()


def test_turned_digits_fool_every_method():
    study: Any = pages.study("uncertainty").query("train_size == 10000").groupby("method")
    too_sure = study["confidence_turned_90"].mean() - study["accuracy_turned_90"].mean()
    assert too_sure.min() > 0.4


def test_a_tenth_of_the_weights_is_enough_for_iris():
    assert TITLES["sparse-parameterisation"] == "A tenth of the weights is enough for Iris"
    study = pages.study("sparse-iris").set_index("method")
    for method in ("vadam", "ivon"):
        row = study.loc[method]
        mean = {
            left: sum(row[f"error_{left}_{k}"] for k in range(int(row["splits"]))) / row["splits"]
            for left in (6, 67)
        }
        assert mean[6] < mean[67] + 0.02


@pytest.mark.slow
def test_no_lead_on_house_prices():
    assert "no lead" in TITLES["boston-groups"]
    study = pages.study("boston-methods")
    ends = study[(study["followed"] == 0) & (study["groups"] == "hidden")].set_index("method")
    kept = [int(text) for text in ends["levels"].iloc[0].split()]
    standings = contests.boston_against_all(ends, kept, contests.worst_squares())
    assert "ahead" not in standings.values()


def test_the_fewest_errors_neuron_for_neuron():
    finding = "on 10,000 digits EM-TDAMP errs least, neuron for neuron"
    assert TITLES["comparison"] == f"All methods side by side: {finding}"
    study, case = comparison.Study(), comparison.FEW
    assert study.sizes(case) == [128, 64, 32, 13]
    for neurons in study.sizes(case):
        ours = study.mean(case, "em-tdamp", neurons, "error")
        for other in study.others(case, neurons):
            assert ours < study.mean(case, other, neurons, "error"), (neurons, other)
