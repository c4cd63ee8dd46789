"""The page `typical-mlps`: dense networks trained by Adam beside the report's program."""

from __future__ import annotations

import itertools
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.ticker import MultipleLocator, PercentFormatter

from emtdamp import datasets, metrics
from emtdamp.baselines import report
from emtdamp.baselines.mlp_keras import DenseSettings, train_dense
from emtdamp.study import claims as verdicts
from emtdamp.study import methods, pages, plots

RATES: dict[str, tuple[float, Literal["constant", "cosine"]]] = {
    "adam": (1e-3, "constant"),
    "adam, 0.005": (5e-3, "cosine"),
}
NEURONS = (128, 64, 32)
SCORES = ("accuracy", "nll", "ece")
PROGRAM, PRUNED = ("report", 128), ("report, pruned", 64)
CASES = [*itertools.product(RATES, NEURONS), PROGRAM, PRUNED]
LABELS = {name: methods.label(name) for name in RATES} | {
    "report": "report's program",
    "report, pruned": "report's, pruned",
}


def images(train_size: int) -> datasets.Mnist:
    """The report's images, scaled to [0, 1]."""
    mnist = datasets.report_split(datasets.load_mnist(), train_size)
    x_train, x_test = (datasets.scale_images(x) for x in (mnist.x_train, mnist.x_test))
    return mnist._replace(x_train=x_train, x_test=x_test)


def train_all(train_size: int, epochs: int, batch_size: int, seed: int) -> dict[str, float]:
    """Every network from one seed: a row of the study, scores by "method neurons: score"."""
    mnist, found = images(train_size), {}
    for (method, (rate, schedule)), hidden in itertools.product(RATES.items(), NEURONS):
        settings = DenseSettings(hidden, epochs, batch_size, rate, schedule, seed=seed)
        model = train_dense(settings, mnist.x_train, mnist.y_train)
        found |= _scores((method, hidden), mnist.y_test, np.asarray(model(mnist.x_test)))
    settings = report.ReportSettings(em_iters=epochs, batch_size=batch_size, seed=seed)
    run = report.train(settings, train_size)
    weights = report.prune(run.model.get_weights(), run.rho > 0)
    logits = run.model.stateless_call(list(weights), [], mnist.x_test)[0]
    pruned = report.probabilities(logits, run.metrics["noise_variance"], "softmax")
    found |= _scores(PROGRAM, mnist.y_test, run.probabilities)
    return found | _scores(PRUNED, mnist.y_test, pruned)


def _scores(
    case: tuple[str, int], labels: np.ndarray, probabilities: np.ndarray
) -> dict[str, float]:
    found = metrics.classification_scores(labels, probabilities)
    return {f"{case[0]} {case[1]}: {name}": float(found[name]) for name in SCORES}


def summary(study: pd.DataFrame, printed: pd.DataFrame | None) -> pd.DataFrame:
    """Mean, standard error and number of seeds of each score, a row a case.

    `printed`: the study of the report's program, whose accuracies have more seeds.
    """
    rows = []
    for case in CASES:
        row: dict[str, Any] = {"method": case[0], "neurons": case[1]}
        for score in SCORES:
            values = np.asarray(study[f"{case[0]} {case[1]}: {score}"], float)
            if score == "accuracy" and printed is not None and case in (PROGRAM, PRUNED):
                column = "accuracy_mean" if case == PROGRAM else "pruned_accuracy"
                values = np.asarray(printed[column], float)
            row |= {score: values.mean(), f"{score}_n": len(values)}
            row[f"{score}_error"] = np.nan_to_num(verdicts.standard_error(values))
        rows.append(row)
    return pd.DataFrame(rows).set_index(["method", "neurons"])


def draw(found: pd.DataFrame, reported: float = 0.9277) -> None:
    """Accuracy against the neurons in use, dense networks as lines and the program as points."""
    (ax,) = plots.panels(1, height=4.2)
    for method in [*RATES, "report", "report, pruned"]:
        rows = found.loc[[method]].sort_index()
        colour = plots.COLOURS[method]
        x = rows.index.get_level_values("neurons")
        ax.plot(x, rows["accuracy"], "-o", color=colour, label=LABELS[method])
        ax.errorbar(
            x, rows["accuracy"], rows["accuracy_error"], fmt="none", capsize=3, color=colour
        )
    grey = plots.COLOURS["reported"]
    ax.axhline(reported, color=grey, ls="--", lw=1.5, label=f"reported: {reported:.2%}")
    ax.set(xlabel="hidden neurons in use", ylabel="test accuracy", xticks=NEURONS)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.yaxis.set_major_locator(MultipleLocator(0.05))
    plots.end_labels(ax)


def table(found: pd.DataFrame) -> pd.DataFrame:
    """Every score with its standard error, as text."""
    rows = pd.DataFrame({"Network": [f"{LABELS[m]}, {n}" for m, n in found.index]})
    for score, head, factor, digits in [
        ("accuracy", "Accuracy, %", 100, 2), ("nll", "NLL", 1, 3), ("ece", "ECE", 1, 3)
    ]:  # fmt: skip
        pairs = factor * found[[score, f"{score}_error"]].to_numpy()
        rows[head] = [f"{mean:.{digits}f} ± {error:.{digits}f}" for mean, error in pairs]
    return rows


def claims(
    found: pd.DataFrame, study: pd.DataFrame, printed: pd.DataFrame | None
) -> list[pages.Claim]:
    """What the report says of its accuracy beside other networks."""
    accuracy = dict(zip(found.index, found["accuracy"], strict=True))
    best_small = max(accuracy[method, 64] for method in RATES)
    program = study["report 128: accuracy"] if printed is None else printed["accuracy_mean"]
    standing = pages.overall(
        pages.compare(
            program, study[f"{method} 64: accuracy"], paired=False, more_is_better=True
        ).standing
        for method in RATES
    )
    large, ours, pruned = (accuracy[case] for case in (("adam, 0.005", 128), PROGRAM, PRUNED))
    return [
        pages.statement(
            "Standard MLPs without sparsity reach 95 to 96 %",
            reported="95 to 96 %",
            ours=f"{large:.2%} (128 neurons, the better schedule, same images)",
            holds=bool(0.95 <= large <= 0.96),
            why="accuracy of the 128-neuron network between 95 and 96 %",
        ),
        pages.versus(
            "92.77 % with 64 active neurons is competitive",
            reported="0.9277",
            ours=f"{ours:.2%} against {best_small:.2%} (dense, 64 neurons, same images)",
            standing=standing,
            why="the program, all neurons in use, against dense networks; two standard errors",
            source="report",
        ),
        pages.statement(
            "Half the neurons without severely impacting accuracy",
            reported="not severely",
            ours=f"{ours:.2%} with all, {pruned:.2%} with half",
            holds=bool(ours - pruned < 0.01),
            why="less than one point lost when the inactive neurons are really zero",
        ),
    ]


def glued(found: pd.DataFrame) -> dict[str, Any]:
    """Numbers of the text."""
    small, program, pruned = (found.loc[c] for c in (("adam", 64), PROGRAM, PRUNED))
    return {
        "dense_64": f"{small['accuracy']:.2%}",
        "program_128": f"{program['accuracy']:.2%}",
        "program_64": f"{pruned['accuracy']:.2%}",
        "dense_nll": f"{small['nll']:.2f}",
        "program_nll": f"{program['nll']:.2f}",
        "mlp_seeds": int(small["accuracy_n"]),
        "program_seeds": int(program["accuracy_n"]),
    }


def results(found: pd.DataFrame) -> dict[str, float]:
    """What the page records besides its claims."""
    rows: dict[Any, Any] = found.to_dict("index")
    return {
        "dense_64_accuracy": rows["adam", 64]["accuracy"],
        "dense_64_nll": rows["adam", 64]["nll"],
        "cosine_128_accuracy": rows["adam, 0.005", 128]["accuracy"],
        "report_accuracy": rows[PROGRAM]["accuracy"],
        "report_pruned_accuracy": rows[PRUNED]["accuracy"],
    }
