"""Tables, numbers in the text and claims of the page `mnist`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from emtdamp.study import claims, pages
from emtdamp.study.chapters.mnist import (
    FRACTIONS,
    PREFIXES,
    REPORTED,
    Fits,
    Uncertainty,
    mean_of,
)
from emtdamp.study.methods import label

ROWS = [  # name, reported, of the program's record, ours
    ("accuracy", "0.9277", "accuracy_mean", "test_accuracy"),
    ("accuracy, inactive neurons removed", "", "pruned_accuracy", "pruned_test_accuracy"),
    ("“validation loss”", "1.7701", "training_loss", "training_loss"),
    ("precision, macro", "0.9294", "precision_macro", "precision_macro"),
    ("recall, macro", "0.9263", "recall_macro", "recall_macro"),
    ("F1, macro", "0.9268", "f1_macro", "f1_macro"),
    ("sparsity", "0.5000", "", "sparsity"),
    ("active neurons", "64", "active_neurons", "active_neurons"),
    ("mean entropy", "0.0070", "entropy", "predictive_entropy"),
    ("mean entropy after iteration 1", "0.1894", "first_entropy", "first_entropy"),
]


def reports_metrics(fits: Fits) -> pd.DataFrame:
    """The report's metrics: as reported, of its program over thirty seeds, and of EM-TDAMP."""
    program: Any = pages.study("report-seeds").mean(numeric_only=True)
    return pd.DataFrame(
        {
            "Metric": [name for name, *_ in ROWS],
            "Report": [reported for _, reported, *_ in ROWS],
            "Its program": [_program(program, k) for *_, k, _ in ROWS],
            "EM-TDAMP": [_shown(fits, ours) for *_, ours in ROWS],
        }
    )


def side_by_side(fits: Fits) -> pd.DataFrame:
    """EM-TDAMP pruned and whole, and dense networks of the pruned size."""
    names = [f"EM-TDAMP, {fits.kept} of {fits.hidden} neurons", f"EM-TDAMP, all {fits.hidden}"]
    names += [f"dense {fits.kept}, {label(method)}" for method in fits.dense]
    accuracies = [fits.last["test_accuracy"], fits.last["whole_accuracy"]]
    accuracies += [fits.dense_end(method) for method in fits.dense]
    likelihoods = [fits.last["test_nll"], fits.last["whole_nll"]]
    likelihoods += [fits.dense_end(method, "nll") for method in fits.dense]
    firsts = [[run.history["val_accuracy"].iloc[0] for run in g] for g in (fits.pruned, fits.whole)]
    firsts += [[h["accuracy"].iloc[0] for h in histories] for histories in fits.dense.values()]
    small = 785 * fits.kept + (fits.kept + 1) * 10
    weights = [fits.mean["parameters"], fits.whole[0].metrics["parameters"], small, small]
    return pd.DataFrame(
        {
            "Network": names,
            "Weights": [f"{w:,.0f}" for w in weights],
            "After one pass, %": [f"{100 * np.mean(a):.2f}" for a in firsts],
            "At the end, %": [_mean_and_error(100 * np.asarray(a), 2) for a in accuracies],
            "NLL, nats": [_mean_and_error(np.asarray(each), 3) for each in likelihoods],
        }
    )


def in_text(
    fits: Fits, without: dict[str, np.ndarray], sure: Uncertainty
) -> dict[str, claims.Scalar]:
    """What the text quotes."""
    mean, around, off = fits.mean, fits.around, fits.hidden - fits.kept
    order = [np.sort(run.rho) for run in fits.pruned]
    rhos, seeds = np.concatenate(order), len(order)
    highest = max(r[:off].max(initial=0) for r in order)
    half = int(np.argmin(np.abs(FRACTIONS - 0.5)))
    gap = mean_of(fits.pruned, "val_precision") - mean_of(fits.pruned, "val_recall")
    return _confused(fits) | {
        "n": seeds,
        "ours": f"{mean['test_accuracy']:.2%}",
        "spread": f"{around['test_accuracy']:.2%}",
        "kept": fits.kept,
        "of": fits.hidden,
        "whole": f"{mean['whole_accuracy']:.2%}",
        "beside_adam": fits.beside("adam"),
        "beside_cosine": fits.beside("adam, 0.005"),
        "down": f"{fits.rises.mean():.0%}",
        "gap_first": f"{100 * gap.iloc[0]:.2f}",
        "gap_last": f"{100 * gap.iloc[-1]:.2f}",
        "sure": f"{(rhos > 0.99).sum() / seeds:.0f}",
        "doubtful": f"{((rhos > 0.5) & (rhos < 0.9)).sum() / seeds:.0f}",
        "off": f"at most {highest:.2f}" if highest >= 0.005 else "less than 0.01",
        "half_evidence": f"{without['evidence'][:, half].mean():.1%}",
        "half_random": f"{without['random'][:, half].mean():.1%}",
        "most": f"{FRACTIONS[-1]:.0%}",
        "most_evidence": f"{without['evidence'][:, -1].mean():.0%}",
        "same": f"{sure.same:.2f}",
        "tells": f"{sure.tells:.2f}",
        "entropy_wrong": f"{np.average(sure.entropies, weights=sure.errors):.2f}",
        "entropy_right": f"{np.average(sure.entropies, weights=1 - sure.errors):.2f}",
        "confidence": f"{np.mean([r.predicted.max(axis=1).mean() for r in fits.pruned]):.2%}",
        "ece": f"{mean['test_ece']:.3f}",
    }


def _confused(fits: Fits) -> dict[str, claims.Scalar]:
    """Errors of the first seed, and their most frequent kind."""
    matrix = fits.pruned[0].confusion_matrix(fits.task)
    wrong = matrix - np.diag(np.diag(matrix))
    true, taken = np.unravel_index(wrong.argmax(), wrong.shape)
    return {
        "errors": int(wrong.sum()),
        "diagonal": f"{np.trace(matrix) / matrix.sum():.2%}",
        "true": int(true),
        "taken": int(taken),
        "times": int(wrong.max()),
    }


def reports_statements(fits: Fits, sure: Uncertainty) -> list[claims.Claim]:
    """The report's statements about its figures, by the same conditions as in its own chapter."""
    mean, around, by = fits.mean, fits.around, {"source": "report, by EM-TDAMP"}
    best = max(fits.dense_end(method).mean() for method in fits.dense)
    counts = [run.history["active_neurons"] for run in fits.pruned]
    rhos = np.concatenate([run.rho for run in fits.pruned])
    lost = mean["whole_accuracy"] - mean["test_accuracy"]
    error = around["test_accuracy"]
    return [
        pages.statement(
            f"92.77 % with {fits.kept} neurons in use",
            reported="0.9277",
            ours=f"{mean['test_accuracy']:.4f} ± {error:.4f} (n = {len(fits.pruned)})",
            holds=bool(mean["test_accuracy"] >= REPORTED),
            why="mean accuracy of the pruned network at least the reported",
            **by,
        ),
        pages.versus(
            "This is competitive",
            reported="competitive",
            ours=f"{best:.4f} (a dense network of that size, the better Adam)",
            standing=pages.overall(fits.beside(method) for method in fits.dense),
            why="against dense networks of the same size, two standard errors of the difference",
            **by,
        ),
        pages.statement(
            "Fig. 4.1: the model steadily improves",
            reported="steadily",
            ours=f"{fits.rises.mean():.0%} of the steps between iterations go down",
            holds=bool(fits.rises.mean() < 0.1),
            why="fewer than one step in ten goes down",
            **by,
        ),
        pages.statement(
            "Fig. 4.4: the model prunes redundant units over time",
            reported="prunes over time",
            ours=f"{max(np.ptp(c) for c in counts)} neurons of change",
            holds=bool(any(c.nunique() > 1 for c in counts)),
            why="the number of active neurons changes in at least one run",
            certain="it follows a ramp that is prescribed",
            **by,
        ),
        pages.statement(
            "Fig. 4.5: rho represents posterior uncertainty in the weights",
            reported="a wider spread is more uncertainty",
            ours=f"{rhos.min():.2f} to {rhos.max():.2f}",
            holds=bool((rhos < 0.5).any()),
            why="some neuron is more probably out of use than in use",
            certain="the rate is set so that the wanted number lies below one half",
            **by,
        ),
        pages.statement(
            "Fig. 4.6: high sparsity with minimal degradation",
            reported="minimal",
            ours=f"{100 * lost:.2f} points lost with {fits.hidden - fits.kept} of {fits.hidden}"
            " neurons removed",
            holds=bool(lost < 0.01),
            why="less than one point of accuracy lost",
            **by,
        ),
        pages.statement(
            "Fig. 4.7: per-class uncertainty guides refinement of the data",
            reported="uncertainty of a class",
            ours=f"correlation {sure.same:.2f} with f (1 - f)",
            holds=bool(abs(sure.same) < 0.5),
            why="correlates less than 0.5 with the frequency of the class alone",
            **by,
        ),
    ]


def results(fits: Fits) -> dict[str, claims.Scalar]:
    """What a run of this page records: a row of the study of sizes."""
    mean = fits.mean
    names = ["precision_macro", "recall_macro", "f1_macro", "predictive_entropy"]
    names += ["training_loss", "active_neurons", "kept_inputs", "parameters"]
    found = {name: mean[name] for name in names}
    found |= {score: mean[f"test_{score}"] for score in ("accuracy", "nll", "brier", "ece")}
    found |= {"training_seconds": mean["seconds"], "whole_accuracy": mean["whole_accuracy"]}
    curves = {"": 1 - mean_of(fits.pruned, "val_accuracy")}
    for method, prefix in PREFIXES.items():
        each = [history["accuracy"] for history in fits.dense[method]]
        curves[prefix] = 1 - pd.concat(each, axis=1).mean(axis=1)
    for prefix, curve in curves.items():
        found |= {f"{prefix}error_{k}": value for k, value in curve.items()}
    for method, prefix in PREFIXES.items():
        found[f"{prefix}nll"] = fits.dense_end(method, "nll").mean()
    return found


def _program(program: Any, name: str) -> str:
    if name not in program:
        return ""
    return f"{program[name]:.0f}" if name == "active_neurons" else f"{program[name]:.4f}"


def _shown(fits: Fits, name: str) -> str:
    if fits.around[name] == 0 and float(fits.mean[name]).is_integer():
        return f"{fits.mean[name]:g}"
    if fits.around[name] == 0:
        return f"{fits.mean[name]:.4f}"
    return f"{fits.mean[name]:.4f} ± {fits.around[name]:.4f}"


def _mean_and_error(values: np.ndarray, digits: int) -> str:
    error = claims.standard_error(values)
    spread = "" if np.isnan(error) else f" ± {error:.{digits}f}"
    return f"{values.mean():.{digits}f}{spread}"
