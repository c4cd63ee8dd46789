"""One exact state: a fit that stops, is saved and goes on is the fit that never stopped."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_array_equal
from sklearn.datasets import make_classification

from emtdamp import EMTDAMPClassifier, EMTDAMPRegressor
from emtdamp.errors import EmtdampError, UsageError
from emtdamp.training import checkpoint, fitting, recipes, starts
from emtdamp.training.recipe import Data

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:no (input|neuron)"),  # what is left is not the point here
]

X, Y = make_classification(240, 6, n_informative=4, n_classes=3, random_state=0)
GIVEN = Data(X, Y.astype(np.int32), np.ones(240))
SETTINGS = {
    "auto": dict(sparsity="auto", input_sparsity="auto"),
    "shared": dict(sparsity=0.5, share_incoming=True),
    "window": dict(sparsity=0.5, update="window", slab="learn", soft=True, inner_iters=2),
    "single": dict(sparsity=0.5),
    "pruned": dict(sparsity=0.5, input_sparsity=0.5),
}


def classifier(name, em_iters):
    """As `plan` has it, so that all fits of a name run one compiled epoch."""
    settings = dict(batch_size=60, inflation=1.0, slab=30.0, random_state=0)
    return EMTDAMPClassifier((7,), em_iters=em_iters, **settings | SETTINGS[name])


def plan(name):
    params = classifier(name, 10).get_params()
    found = recipes.make(params, GIVEN, 3, 1.0)
    return found._replace(schedule=found.schedule._replace(learn_noise=1.0))  # v moves as well


def train(name, progress=None, until=None, seed=3):
    return fitting.train(GIVEN, plan(name), seed, progress, until=until)


def same(one, two):
    tf.nest.assert_same_structure(one, two)
    for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(two), strict=True):
        assert a.dtype == b.dtype
        assert_array_equal(a, b)


IN_A_NEW_PROCESS = """
import pickle, sys
from pathlib import Path
from tests.training.test_checkpoint import X, Y, checkpoint, train
folder = Path(sys.argv[1])
for path in sorted(folder.glob("*.npz")):
    checkpoint.save(train(path.stem, checkpoint.load(path)).progress, path)
for path in sorted(folder.glob("*.pickle")):
    model = pickle.loads(path.read_bytes()).set_params(em_iters=6, warm_start=True)
    path.write_bytes(pickle.dumps(model.fit(X, Y)))
"""


def test_what_goes_on_in_a_new_process_is_what_goes_on_here(tmp_path):
    parts = {name: train(name, until=4) for name in ("auto", "shared", "window")}
    models = {}
    for name in ("auto", "shared"):
        models[name] = classifier(name, 4).fit(X, Y)
        (tmp_path / f"{name}.pickle").write_bytes(pickle.dumps(models[name]))
    for name, part in parts.items():
        path = checkpoint.save(part.progress, tmp_path / f"{name}.npz")
        same(checkpoint.load(path), part.progress)
    subprocess.run([sys.executable, "-c", IN_A_NEW_PROCESS, tmp_path], check=True)
    for name, part in parts.items():
        assert len(part.history) == 4
        same(checkpoint.load(tmp_path / f"{name}.npz"), train(name).progress)  # ten in one call
    for name, model in models.items():
        model.set_params(em_iters=6, warm_start=True).fit(X, Y)
        again = pickle.loads((tmp_path / f"{name}.pickle").read_bytes())
        same(again._progress, model._progress)


def test_going_on_repeats_the_history_and_the_posterior():
    whole, four = train("single"), train("single", until=4)
    rest = train("single", four.progress)
    for one, two in zip(four.history + rest.history, whole.history, strict=True):
        assert {**one, "seconds": 0} == {**two, "seconds": 0}
    for one, two in zip(rest.posterior.var, whole.posterior.var, strict=True):
        assert_array_equal(one, two)
    with pytest.raises(EmtdampError, match="10 of 10 iterations are done"):
        train("single", whole.progress)


def test_a_warm_start_goes_on_with_the_learnt_rates():
    model = classifier("auto", 4).fit(X, Y)
    learnt = float(model._progress.prior.logit_rho[1])
    assert learnt != 0.0  # where it starts
    restarted = starts.restart(model._progress)
    assert float(restarted.prior.logit_rho[1]) == learnt
    _, progress = fitting.prepare(GIVEN, plan("auto"), restarted)
    assert float(progress.prior.logit_rho[1]) == learnt


@pytest.mark.parametrize("until", [4, 5, 6, 9])  # groups leave the arithmetic after iteration 5
def test_a_fit_that_has_shrunk_goes_on_without_the_groups_that_left(monkeypatch, tmp_path, until):
    monkeypatch.setattr(fitting.shrinking, "COMPILE_SECONDS", 0.0)
    recipe = plan("pruned")
    recipe = recipe._replace(schedule=recipe.schedule._replace(ramp_end=0.5))
    whole = fitting.train(GIVEN, recipe, 3)
    part = fitting.train(GIVEN, recipe, 3, until=until)
    assert len(part.progress.prior.left) == 2 * (until > 4)
    progress = checkpoint.load(checkpoint.save(part.progress, tmp_path / "progress.npz"))
    rest = fitting.train(GIVEN, recipe, 3, progress)
    same(rest.progress, whole.progress)
    for one, two in zip(rest.posterior.mean, whole.posterior.mean, strict=True):
        assert_array_equal(one, two)


def test_a_progress_of_another_fit_is_refused():
    part = train("single", until=2).progress
    for change, text in [
        ({"hidden": (9,)}, r"of \[7, 3\] neurons and outputs cannot go on with \[9, 3\]"),
        ({"batch_size": 50}, "8 steps are no whole iterations of 5"),
    ]:
        with pytest.raises(EmtdampError, match=text):
            fitting.train(GIVEN, plan("single")._replace(**change), 3, part)
    with pytest.raises(EmtdampError, match="-2 steps are no whole iterations"):
        fitting.train(GIVEN, plan("single"), 3, part, first=10)
    for until in (-1, 0, 2, 11):
        with pytest.raises(EmtdampError, match="2 of 10 iterations are done; give until from 3 to"):
            fitting.train(GIVEN, plan("single"), 3, part, until=until)


def test_more_groups_than_are_left_may_stay_again():
    model = classifier("shared", 20).fit(X, Y)
    model.set_params(sparsity=0.2).partial_fit(X, Y)
    assert model._progress.prior.left[1].sum() == 6


def test_three_partial_fits_continue_rho():
    model = EMTDAMPRegressor((8,), sparsity="auto", random_state=0)
    rng = np.random.default_rng(0)
    found = []
    for _ in range(3):
        x = rng.normal(size=(60, 3))
        model.partial_fit(x, np.sin(2 * x[:, 0]))
        found.append(model._progress)
    rates = []
    for before in found[:2]:
        data = Data(np.ones((60, 3)), np.ones((60, 1)), np.ones(60))
        recipe = recipes.stream(model._recipe(data), model.get_params())
        _, progress = fitting.prepare(data, recipe, starts.settle(before))
        rates.append(float(progress.prior.logit_rho[1]))
    assert rates == [float(progress.prior.logit_rho[1]) for progress in found[:2]]
    assert len({0.0, *rates}) == 3


def test_a_changed_rule_starts_its_rate_anew():
    model = classifier("single", 4).set_params(warm_start=True).fit(X, Y)
    assert float(model._progress.prior.logit_rho[1]) == 0.0  # the steered threshold is no rate
    model.set_params(sparsity="auto").fit(X, Y)
    assert float(model._progress.prior.logit_rho[1]) != 0.0
    assert model.active_groups_[1].any()


def test_who_is_left_of_shared_groups_streams_on_and_starts_anew():
    model = classifier("shared", 20).fit(X, Y)
    assert model._progress.prior.left[1].sum() == 4
    assert starts.settle(model._progress).prior.left[1].sum() == 4
    assert starts.restart(model._progress).prior.left == ()
    gone = ~model._progress.prior.left[1]
    model.partial_fit(X, Y)
    assert not (model._progress.prior.left[1] & gone).any()


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(FileNotFoundError):
        checkpoint.load(path)
    good = checkpoint.save(train("single", until=1).progress, path).read_bytes()
    assert list(tmp_path.iterdir()) == [path]
    np.save(tmp_path / "one.npy", X)
    np.savez(tmp_path / "other.npz", x=X)
    contents = [b"", b"text", good[: len(good) // 2], (tmp_path / "one.npy").read_bytes()]
    at = good.index(b"PK\x01\x02") + 10  # of an array, by a compression that there is not
    contents.append(good[:at] + b"\x63\x00" + good[at + 2 :])
    for content in [*contents, (tmp_path / "other.npz").read_bytes()]:
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"checkpoint\.save"):
            checkpoint.load(path)
