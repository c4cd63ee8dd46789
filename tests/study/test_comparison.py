"""The comparison of all methods: what is measured, and its claims recomputed from the study."""

import math
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import pytest

from emtdamp.errors import UsageError
from emtdamp.study import pages, runs
from emtdamp.study.chapters import comparison, comparison_claims, comparison_run

FEW = comparison.FEW


@cache
def records() -> list[dict]:
    return pages.study("comparison").to_dict("records")


def raw(case: str, method: str, neurons: int, score: str) -> list[float]:
    """Read off the study's columns, by their names."""
    found = []
    for row in records():
        if (row["case"], row["method"]) == (case, method):
            names = [f"{score}_at_{neurons}_seed_{seed}" for seed in str(row["seeds"]).split()]
            found += [row[name] for name in names if not math.isnan(row.get(name, math.nan))]
    return found


def behind(ours: list[float], other: list[float], paired: bool, sign: int) -> str:
    """The book's rule, written out."""
    one, two = sign * np.array(ours), sign * np.array(other)
    if len(one) < 2 or len(two) < 2:
        return "undecided"
    gap = two.mean() - one.mean()
    error = np.sqrt(one.var(ddof=1) / len(one) + two.var(ddof=1) / len(two))
    if paired:
        error = np.std(two - one, ddof=1) / np.sqrt(len(one))
    return "level" if abs(gap) <= 2 * error + 1e-12 else "ahead" if gap > 0 else "behind"


def test_standings_are_recomputed_from_the_study():
    ours_too = comparison.Study()
    found = {claim.text: claim for claim in comparison_claims.claims(ours_too)}
    study = pages.study("comparison")
    words = comparison_claims.SCORES
    for case in dict.fromkeys(study["case"]):
        prices = case == "prices"
        if ours_too.seeds(case) < 2:
            assert not any(comparison.CASES[case] in text for text in found if "Every" in text)
            continue
        sizes = (50, 25) if prices else (128, 64, 32, 13)
        for score in ("rmse", "nll") if prices else ("error", "nll", "ece", "auroc"):
            verdicts = set()
            for neurons, other in product(sizes, dict.fromkeys(study["method"])):
                own = other in ("em-tdamp", "em-tdamp, window", "paper")
                theirs = raw(case, other, neurons, score)
                if own or not theirs or (other == "amp" and neurons == sizes[0]):
                    continue
                ours = raw(case, "em-tdamp", neurons, score)
                sign = -1 if score == "auroc" else 1
                verdicts.add(behind(ours, theirs, prices, sign))
            order = ("behind", "undecided", "level", "ahead")
            worst = next(word for word in order if word in verdicts)
            title = f"Every method run on {comparison.CASES[case]}: EM-TDAMP's {words[score]}"
            assert found[title].outcome == worst, title


def test_what_the_post_says_is_recomputed_from_the_study():
    found = {claim.text: claim for claim in comparison_claims.claims(comparison.Study())}
    bayes, dense = (
        raw(FEW, *case, "error") for case in (("bayes by backprop", 64), ("adam, best", 128))
    )
    paid = next(claim for text, claim in found.items() if "pruned away again" in text)
    assert paid.outcome == behind(bayes, dense, False, 1)
    assert f"{np.mean(bayes):.2%}" in str(paid.ours) and f"{np.mean(dense):.2%}" in str(paid.ours)
    lost = np.mean(raw(FEW, "bayes by backprop", 13, "error"))
    lost -= np.mean(raw(FEW, "bayes by backprop", 128, "error"))
    claim = next(claim for text, claim in found.items() if "Backprop, 13 of" in text)
    assert claim.outcome == ("holds" if lost < 0.01 else "does not hold")
    share = {
        score: np.mean(raw(FEW, "em-tdamp", 13, score)) / np.mean(raw(FEW, "em-tdamp", 128, score))
        for score in ("bytes", "seconds", "microseconds")
    }
    for text, score in [("memory", "bytes"), ("inference", "microseconds"), ("cost", "seconds")]:
        claim = next(claim for each, claim in found.items() if text in each and "reduces" in each)
        assert f"EM-TDAMP {share[score]:.2f}" in str(claim.ours)


def test_a_row_a_size_and_seed():
    row = {"case": FEW, "method": "adam", "seeds": "0 7", "seconds": 3.0}
    row |= {f"error_at_{n}_seed_{s}": n + s / 10 for n in (13, 64) for s in (0, 7)}
    found = comparison_run.long(pd.DataFrame([row | {"rmse_at_25_seed_0": math.nan}]))
    assert found["error"].tolist() == [13.0, 13.7, 64.0, 64.7]
    assert found["neurons"].tolist() == [13, 13, 64, 64] and found["seed"].tolist() == [0, 7] * 2
    assert "rmse" not in found


def test_scores_of_a_prediction_that_is_known(monkeypatch):
    """Sure and right of digits but for one; of clothes half are as unsure as can be."""
    task = runs.Task({}, np.zeros((4, 2)), np.zeros(4, int), np.eye(2)[[0, 1, 0, 1]],
                     np.array([0, 1, 0, 0]), classes=2)  # fmt: skip
    monkeypatch.setattr(comparison_run, "fashion", lambda: np.array([[0.5, 0.5], [1.0, 0.0]]))
    trained = comparison_run.Trained(lambda x: x, 3, 12, 1.5)
    row = comparison_run._scores(trained, task)
    assert row["error"] == pytest.approx(0.25) and row["ece"] == pytest.approx(0.25)
    assert row["auroc"] == pytest.approx(0.75)  # half of the pairs right, half tied
    assert (row["parameters"], row["bytes"], row["seconds"]) == (3, 12, 1.5)


def test_the_quickest_of_several_predictions_counts(monkeypatch):
    clock = iter([0.0, 0.3, 1.0, 1.1, 2.0, 2.2, 3.0, 3.4, 4.0, 4.5])
    monkeypatch.setattr(comparison_run.time, "process_time", lambda: next(clock))
    seen = []

    def predict(x: np.ndarray) -> np.ndarray:
        seen.append(len(x))
        return x

    assert comparison_run.microseconds(predict, np.zeros((1000, 1))) == pytest.approx(100.0)
    assert len(seen) == comparison_run.REPEATS


@pytest.mark.slow
@pytest.mark.parametrize(("method", "numbers"), [("gradual", 1), ("em-tdamp", 2)])
def test_bytes_are_those_of_the_numbers_stored(method, numbers):
    found = comparison_run.measure(method, "prices", [25], [0], rounds=1)
    count = (13 + 1) * 25 + 25 + 1  # no column of Boston is constant
    each = 8 if method == "em-tdamp" else 4  # few rows are learnt from in double precision
    assert found["parameters_at_25_seed_0"] == count
    assert found["bytes_at_25_seed_0"] == numbers * each * count
    assert found["nll_at_25_seed_0"] > 0


@pytest.mark.slow
def test_an_ensemble_is_the_mean_of_its_networks():
    task = comparison_run.task_of("300 digits", 0)
    (one,) = comparison_run._networks("adam, best", task, [128], 1, 0)
    (five,) = comparison_run._ensembles("deep ensemble", task, [128], 1, 0)
    assert five.parameters == 5 * one.parameters and five.bytes == 5 * one.bytes
    x = task.x_test[:20]
    members = [
        next(comparison_run._networks("adam, best", task, [128], 1, 1000 * k)).predict(x)
        for k in range(5)
    ]
    np.testing.assert_allclose(five.predict(x), sum(members) / 5, rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("adamant", FEW, [128], [0]), "method='adamant'; give one of em-tdamp"),
        (("adam", "many digits", [128], [0]), "case='many digits'; give prices, or as in"),
        (("adam", "prices of 1978", [128], [0]), "case='prices of 1978'"),
        (("adam", "prices", [51], [0]), "neurons=51; give 1 to 50"),
        (("adam", "prices", [0], [0]), "neurons=0; give 1 to 50"),
        (("mc dropout", "prices", [50], [0]), "mc dropout is measured on digits, and with all"),
    ],
)
def test_what_is_not_measured(given, message):
    with pytest.raises(UsageError, match=message):
        comparison_run.measure(*given)
