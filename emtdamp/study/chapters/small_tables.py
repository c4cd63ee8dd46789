"""The page `small-tables`: defaults against defaults on ten small tables.

The page is the template of the study of tables: `run` gives what each of its runs records.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emtdamp import EMTDAMPClassifier, datasets
from emtdamp.study import claims, contests, pages, plots

MODELS = {"ours": "EM-TDAMP", "mlp": "MLP, defaults", "chosen": "MLP, penalty chosen"}
LOOKS = {"ours": ("em-tdamp", "o"), "mlp": ("adam", "s"), "chosen": ("adam, best", "D")}
ALPHAS = [1e-4, 1e-2, 0.1, 1.0, 10.0, 100.0]


def load() -> Any:
    """The study, a row a table."""
    return pages.study("tables")


def losses(study: Any) -> Any:
    """Log loss, mean over folds: a row a table, a column a model."""
    return pd.DataFrame({m: contests.by_fold(study, m).mean(axis=1) for m in MODELS})


def picture(study: Any) -> None:
    """Log losses, a row a table and a lane a model, so that no marker hides another."""
    loss = losses(study)
    ax = plots.panels(1, height=6.6)[0]
    place = np.arange(len(loss))[::-1]
    for shift, (model, name) in zip((0.24, 0, -0.24), MODELS.items(), strict=True):
        colour, marker = plots.COLOURS[LOOKS[model][0]], LOOKS[model][1]
        each = contests.by_fold(study, model)
        ax.errorbar(
            loss[model], place + shift, xerr=each.sem(axis=1), fmt=marker, ms=7, lw=1.2,
            color=colour, label=name,
        )  # fmt: skip
    for line in place[:-1] - 0.5:
        ax.axhline(line, color="0.88", lw=0.8)
    ax.set_yticks(place, loss.index)
    ax.grid(axis="y", visible=False)
    ax.set(xscale="log", xlabel="log loss on rows not learnt from, nats")
    ax.set_xticks([0.05, 0.1, 0.2, 0.5, 1], ["0.05", "0.1", "0.2", "0.5", "1"])
    ax.minorticks_off()
    ax.legend(
        loc="lower center", bbox_to_anchor=(0.42, 1.0), ncols=3, fontsize="small",
        handletextpad=0.2, columnspacing=0.9,
    )  # fmt: skip


def table(study: Any) -> pd.DataFrame:
    """A row a table: its size, log losses, and EM-TDAMP beside the others."""
    sizes = [datasets.load_table(name).x.shape for name in study["table"]]
    rows: dict[str, Any] = {
        "Table (rows, columns)": [
            f"{name} ({rows},\xa0{columns})"
            for name, (rows, columns) in zip(study["table"], sizes, strict=True)
        ],
    }
    for model, name in MODELS.items():
        each = contests.by_fold(study, model)
        pairs = zip(each.mean(axis=1), each.sem(axis=1), strict=True)
        rows[name] = [f"{mean:.3f} ± {error:.3f}" for mean, error in pairs]
    rows["Beside defaults"] = list(contests.on_tables(study, "mlp").values())
    rows["Beside chosen"] = list(contests.on_tables(study, "chosen").values())
    return pd.DataFrame(rows)


def in_text(study: Any) -> dict[str, claims.Scalar]:
    """What the text quotes."""
    loss = losses(study)
    mean, gap = loss.mean(), loss["ours"] - loss["mlp"]
    accuracy = {m: contests.by_fold(study, m, "accuracy").mean(axis=None) for m in MODELS}
    return {
        "mean_ours": f"{mean['ours']:.3f}",
        "mean_mlp": f"{mean['mlp']:.3f}",
        "mean_chosen": f"{mean['chosen']:.3f}",
        "against_mlp": contests.counted(contests.on_tables(study, "mlp").values()),
        "against_chosen": contests.counted(contests.on_tables(study, "chosen").values()),
        "worst": str(gap.idxmax()),
        "by": f"{gap.max():+.3f}",
        "accuracies": ", ".join(f"{accuracy[m]:.1%} ({text})" for m, text in MODELS.items()),
    }


def goals(study: Any) -> list[claims.Claim]:
    """What is asked of the defaults."""
    loss = losses(study)
    gap = loss["ours"] - loss["mlp"]
    return [
        pages.goal(
            "Ten small tables, defaults: the largest log loss above scikit-learn's MLP",
            required=0.02,
            aim=0.0,
            ours=float(gap.max()),
        ),
        pages.goal(
            "Ten small tables, defaults: mean log loss less that of scikit-learn's MLP",
            required=0.0,
            aim=-0.05,
            ours=float(gap.mean()),
        ),
    ]


def run(data: Any, folds: int, seed: int) -> dict[str, float]:
    """Log loss and accuracy of every model, as `MODEL_SCORE_FOLD`, on the first folds."""
    network = make_pipeline(StandardScaler(), MLPClassifier(random_state=seed))
    models = {
        "ours": EMTDAMPClassifier(random_state=seed),
        "mlp": network,
        "chosen": GridSearchCV(
            network, {"mlpclassifier__alpha": ALPHAS}, scoring="neg_log_loss", cv=3
        ),
    }
    return {
        f"{name}_{score}_{number}": value
        for number, fold in enumerate(datasets.table_folds(data)[:folds])
        for name, model in models.items()
        for score, value in _scores(model, data, fold).items()
    }


def _scores(model: Any, data: Any, fold: Any) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(data.x[fold.train], data.y[fold.train])
    probability = model.predict_proba(data.x[fold.test])
    y = data.y[fold.test]
    return {
        "loss": float(log_loss(y, probability, labels=np.unique(data.y))),
        "accuracy": float(accuracy_score(y, probability.argmax(axis=1))),
    }


def live(found: dict[str, float], folds: int) -> pd.DataFrame:
    """What `run` found, a row a model: means over its folds."""
    rows = []
    for model, name in MODELS.items():
        mean = {
            score: np.mean([found[f"{model}_{score}_{k}"] for k in range(folds)])
            for score in ("loss", "accuracy")
        }
        rows.append(
            {
                "Model": name,
                "Log loss": f"{mean['loss']:.3f}",
                "Accuracy, %": f"{100 * mean['accuracy']:.1f}",
            }
        )
    return pd.DataFrame(rows)
