"""The page on the perceptron: what was printed is typed in rightly; what follows."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import recall_score

from emtdamp.errors import UsageError
from emtdamp.study.chapters import mlp_claims, mlp_runs
from emtdamp.study.chapters import mlp_from_scratch as chapter

REPORTS = [("relu and l2", "train"), ("keras", "test")] + [
    (name, part) for name in ("sigmoid", "tanh", "relu") for part in ("train", "test")
]
SETTINGS = {
    "alpha": 0.0, "hidden": mlp_runs.HIDDEN, "standardise": True, "epochs": 15, "seed": 0,
    "train_size": 50_000,
}  # fmt: skip


def trained(network, step, accuracy, **more):
    """A row of a study, its scores around an accuracy; errors are the next digit."""
    right = round(1000 * accuracy)
    matrix = right * np.eye(10, dtype=int) + (1000 - right) * np.roll(np.eye(10, dtype=int), 1, 1)
    row = SETTINGS | {"network": network, "step": step, "train_seconds": 60.0}
    row |= {f"accuracy_{part}": accuracy for part in ("train", "val", "test")}
    row |= {f"{kind}_{part}": 1 - accuracy for kind in ("loss", "nll") for part in ("train", "val")}
    row |= {"nll_test": 1 - accuracy, "curve_step": "200 400 600", "curve_loss": "2 1 0.5"}
    row |= {f"confusion_{part}": " ".join(map(str, matrix.ravel())) for part in ("train", "test")}
    return row | {"curve_validation": "2 1 0.4"} | more


def whole_study():
    rows = [trained(n, s, a) for n in mlp_runs.NETWORKS for s, a in ((0.01, 0.9), (0.001, 0.5))]
    rows += [trained("relu", 0.01, 0.8, alpha=0.01), trained("relu", 0.001, 0.78, alpha=0.1)]
    rows += [trained("sigmoid", 0.01, 0.95, epochs=30), trained("sigmoid", 0.01, 0.7, hidden="100")]
    return pd.DataFrame([*rows, trained("sigmoid", 0.01, 0.6, standardise=False)])


@pytest.mark.parametrize(("name", "part"), REPORTS)
def test_a_printed_report_agrees_with_itself_and_with_the_printed_accuracy(name, part):
    report = chapter.printed_report(name, part)
    assert report.index.tolist() == list(range(10))
    assert report["support"].sum() == (50_000 if part == "train" else 10_000)
    accuracy = np.average(report["recall"], weights=report["support"])
    assert accuracy == pytest.approx(chapter.REPORTED[name][f"accuracy_{part}"], abs=0.008)
    p, r = report["precision"], report["recall"]
    assert (2 * p * r / (p + r) - report["f1"]).abs().max() < 0.0101
    predicted = (r * report["support"] / p).sum()
    assert predicted == pytest.approx(report["support"].sum(), rel=0.005)


def test_a_report_from_a_confusion_matrix_is_that_of_the_labels():
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 10, (2, 500))
    matrix = np.zeros((10, 10), int)
    np.add.at(matrix, (labels, predicted), 1)
    row = pd.DataFrame([{"confusion_test": " ".join(map(str, matrix.ravel()))}])
    expected = recall_score(labels, predicted, average=None)
    np.testing.assert_allclose(chapter.our_report(row, "test")["recall"], expected)


def test_which_reading_fits_and_where_a_number_would():
    study = whole_study()
    table = chapter.comparison(study, "accuracy").set_index(["Network", "Images"])["Fits"]
    assert table["ReLU and L2", "training"] == "a tenth"
    assert table["tanh", "test"] == "neither"
    assert chapter.fits(study)["a tenth of the step"] == 1
    # half way in accuracy is half way in the step's logarithm
    assert chapter.step_for(study, 0.7) == pytest.approx(0.01 / np.sqrt(10))
    assert chapter.step_for(study, 0.95) is None


def test_claims_follow_the_study():
    starts = pd.DataFrame({"relu": [1.0, 0.001, 500.0]}, index=pd.Index(["glorot", "a", "b"]))

    def outcomes(study):
        return {c.text: c.outcome for c in mlp_claims.claims(study, starts, 1.5, 2.0)}

    found = outcomes(whole_study())
    assert len(found) > 30
    assert found["With 30 epochs the baseline does not get better"] == "does not hold"
    assert found["With hidden layers 100 the baseline does not get better"] == "holds"
    assert found["Standardised pixels make the training converge faster"] == "holds"
    assert found["Tanh is better than sigmoid"] == "does not hold"
    assert found["L2 costs much accuracy even on the training images"] == "holds"
    assert found["A poor start makes gradients vanish or explode"] == "holds"
    assert set(chapter.glued(whole_study())) == set(chapter.glued(whole_study().iloc[:0]))
    assert outcomes(whole_study().iloc[:1])  # one training alone, as in a cell of the study


def test_what_the_page_refuses():
    with pytest.raises(UsageError, match="network 'relu6'; give one of sigmoid, tanh"):
        mlp_runs.settings("relu6")
    with pytest.raises(UsageError, match="train_size 0; give 1 to 50000"):
        mlp_runs.images(0)
