"""The page `boston-splits`: one model on the splits of Boston housing, the template of a sweep."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.base import clone
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor, kernels
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emtdamp import EMTDAMPRegressor, Predictive, calibrate, ensemble
from emtdamp.errors import UsageError
from emtdamp.study import runs

LEVELS = (10, 20, 30, 40, 50, 60, 70, 80, 90, 95)
NETWORKS = {  # hidden layers, sparsity
    "em-tdamp 50": ((50,), 0.0),
    "em-tdamp 25 of 50": ((50,), 0.5),
    "em-tdamp 2 x 50": ((50, 50), 0.0),
    "em-tdamp 2 x 25 of 50": ((50, 50), 0.5),
}


def others(seed: int) -> dict[str, Any]:
    """The models of scikit-learn."""
    widths: Any = np.ones(13)
    kernel = kernels.ConstantKernel() * kernels.RBF(widths) + kernels.WhiteKernel()
    return {
        "ridge": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 25))),
        "random forest": RandomForestRegressor(500, max_features=1 / 3, random_state=seed),
        "gradient boosting": GradientBoostingRegressor(
            n_estimators=500,
            max_depth=4,
            learning_rate=0.05,
            subsample=0.7,
            random_state=seed,
        ),
        "gaussian process": make_pipeline(
            StandardScaler(),
            GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed),
        ),
    }


@dataclass(frozen=True)
class Trial:
    """A model, how many posteriors are mixed, and the seed of every start."""

    model: str
    members: int
    seed: int

    def __post_init__(self) -> None:
        known = [*NETWORKS, *others(self.seed)]
        if self.model not in known:
            raise UsageError(f"model={self.model!r}; use one of {', '.join(known)}")

    @property
    def folds(self) -> KFold:
        """Inside the training rows, for calibration."""
        return KFold(4, shuffle=True, random_state=self.seed)

    def predict(self, task: runs.Task) -> dict[str, Any]:
        """Predictive distributions of the test rows by the way they are made."""
        return self._networks(task) if self.model in NETWORKS else self._scikit_learn(task)

    def _fits(self, x: Any, y: Any, new: Any, **how: Any) -> tuple[list[Predictive], list[Any]]:
        """The members' predictions of new rows, and their inflation factors."""
        layers, sparsity = NETWORKS[self.model]
        fits = [
            EMTDAMPRegressor(layers, sparsity=sparsity, random_state=self.seed + k, **how).fit(x, y)
            for k in range(self.members)
        ]
        return [Predictive.of(fit, new) for fit in fits], [fit.posterior_.inflation for fit in fits]

    def _networks(self, task: runs.Task) -> dict[str, Any]:
        """Single and ensemble, also calibrated."""
        outer, factors = self._fits(task.x, task.y, task.x_test)
        bare = [  # calibration finds a factor of its own
            p._replace(model=p.model / f) for p, f in zip(outer, factors, strict=True)
        ]
        inner = [
            (self._fits(task.x[a], task.y[a], task.x[b], inflation=1.0)[0], b)
            for a, b in self.folds.split(task.x)
        ]
        y = np.concatenate([task.y[b] for _, b in inner])
        mixes: dict[str, Callable[[list[Predictive]], Predictive]]
        mixes = {"single": lambda each: each[0]}
        if self.members > 1:
            mixes["ensemble"] = ensemble
        found: dict[str, Any] = {}
        for name, mix in mixes.items():
            here = mix(outer)
            found[name] = stats.norm(here.mean, here.std)
            held_out = _joined([mix(each) for each, _ in inner])
            found[f"{name}, calibrated"] = calibrate(y, held_out)(mix(bare))
        return found

    def _scikit_learn(self, task: runs.Task) -> dict[str, Any]:
        """Gaussian, and calibrated."""
        model = others(self.seed)[self.model]
        fit: Any = clone(model)
        fit.fit(task.x, task.y)
        if self.model == "gaussian process":
            mean, std = fit.predict(task.x_test, return_std=True)
            return {"single": stats.norm(mean, std)}
        guess: Any = cross_val_predict(clone(model), task.x, task.y, cv=self.folds)
        square = np.mean((guess - task.y) ** 2)
        here, held_out = (
            Predictive(mean, np.full(len(mean), square), np.zeros(len(mean)))
            for mean in (fit.predict(task.x_test), guess)
        )
        calibrated = calibrate(task.y, held_out)(here)
        return {"single": stats.norm(here.mean, here.std), "single, calibrated": calibrated}


def _joined(parts: Sequence[Predictive]) -> Predictive:
    return Predictive(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def scores(trial: Trial, splits: int) -> pd.DataFrame:
    """A row a split and way of predicting."""
    rows = []
    for split in range(splits):
        task = runs.boston(split)
        for variant, p in trial.predict(task).items():
            tail = np.abs(2 * p.cdf(task.y_test) - 1)
            row = {"variant": variant, "split": split}
            row["rmse"] = np.sqrt(np.mean((p.mean() - task.y_test) ** 2))
            row["ll"] = p.logpdf(task.y_test).mean()
            row |= {f"inside_{level}": (tail <= level / 100).mean() for level in LEVELS}
            rows.append(row)
    return pd.DataFrame(rows)


def means(found: pd.DataFrame) -> Any:
    """Over the splits, a row a way of predicting."""
    return found.drop(columns="split").groupby("variant", sort=False).mean()


def table(found: pd.DataFrame) -> pd.DataFrame:
    """The means as text."""
    rows = [
        {
            "How": variant,
            "RMSE": f"{row['rmse']:.3f}",
            "Log-likelihood": f"{row['ll']:.3f}".replace("-", "\N{MINUS SIGN}"),
            **{f"In {level} %": f"{100 * row[f'inside_{level}']:.1f}" for level in (50, 90, 95)},
        }
        for variant, row in means(found).iterrows()
    ]
    return pd.DataFrame(rows)


def results(found: pd.DataFrame) -> dict[str, float]:
    """What the sweep keeps."""
    kept = {}
    for row in found.to_dict("records"):
        for name in ("rmse", "ll"):
            kept[f"{row['variant']}: {name}_{row['split']}"] = float(row[name])
    for variant, row in means(found).iterrows():
        for level in LEVELS:
            kept[f"{variant}: inside_{level}"] = float(row[f"inside_{level}"])
    return kept
