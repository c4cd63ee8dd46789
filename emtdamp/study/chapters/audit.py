"""The page `audit`: runs of the report's program, as printed and with a defect repaired."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import tensorflow as tf
from IPython.display import HTML
from matplotlib.ticker import PercentFormatter

from emtdamp.baselines import report
from emtdamp.study import plots

MEASURED = {  # what is only measured otherwise
    "training_loss_weights": "current",
    "confusion_matrix_of": "last",
    "probabilities": "probit",
}
FOR_GOOD = {"apply_pruning": True, "permanent_pruning": True}
ADAM = {"persistent_adam_moments": True}
PRINTED, TARGET, STOPPED = "as printed", "target 0.9", "early stopping as printed"
KEPT_MOMENTS, FOR_GOOD_TOO = "Adam keeps its moments", "really pruned, Adam repaired"
CHANGES: dict[str, dict[str, Any]] = {
    PRINTED: {},
    KEPT_MOMENTS: ADAM,
    "pruned neurons are not used": {"apply_pruning": True},
    "target is the fraction removed": {"target_direction": "removed"},
    "pruned neurons stay pruned": {"permanent_pruning": True},
    "likelihood without a floor": {"stable_likelihood": True},
    "metrics of the current weights and likelihood": MEASURED,
    STOPPED: {"patience": 3},
    "early stopping on held-out images": {"patience": 3, "stopping_data": "held-out"},
    "really pruned for good": FOR_GOOD,
    FOR_GOOD_TOO: FOR_GOOD | ADAM,
    "all but the Bayesian part": FOR_GOOD
    | ADAM
    | MEASURED
    | {"stable_likelihood": True, "target_direction": "removed"},
}
SCORES = {  # of a run's metrics, by the study's name
    "accuracy": "test_accuracy",
    "pruned": "pruned_test_accuracy",
    "loss": "training_loss",
    "nll": "test_nll",
    "ece": "test_ece",
    "iterations": "em_iters_run",
}


def train(em_iters: int, train_size: int, seed: int, **changes: Any) -> report.Result:
    """Run the report's program with some settings changed."""
    settings: dict[str, Any] = {"em_iters": em_iters, "seed": seed} | changes
    return report.train(report.ReportSettings(**settings), train_size)


def train_some(
    em_iters: int, train_size: int, seed: int, everything: bool = False
) -> dict[str, report.Result]:
    """Run the program as printed and with another target; or every change."""
    changes = CHANGES | {TARGET: {"sparsity": 0.9}}
    names = list(changes) if everything else [PRINTED, TARGET]
    return {name: train(em_iters, train_size, seed, **changes[name]) for name in names}


def scores(runs: dict[str, report.Result]) -> dict[str, float]:
    """What the study keeps of one seed, by "change: score" and by name."""
    found = {}
    for name, run in runs.items():
        found |= {f"{name}: {score}": float(run.metrics[key]) for score, key in SCORES.items()}
        matrix = run.confusion_matrix
        found[f"{name}: matrix"] = float(np.trace(matrix) / matrix.sum())
    return found | looked_at(runs[PRINTED]) | {"same probabilities": same(runs)}


def same(runs: dict[str, report.Result]) -> bool:
    """Whether another target changes no probability, to the last bit."""
    return np.array_equal(runs[PRINTED].probabilities, runs[TARGET].probabilities)


def zero_weights(run: report.Result) -> tuple[int, int]:
    """How many of the saved weights are zero, and how many there are."""
    weights = run.model.get_weights()
    return sum(int((w == 0).sum()) for w in weights), sum(w.size for w in weights)


def looked_at(run: report.Result) -> dict[str, float]:
    """What the program's network is without half of its neurons, and how sure it is."""
    images, labels = report.load_data(int(run.metrics["train_size"]), run.settings).test
    weights = run.model.get_weights()
    kernel, bias = weights[:2]
    norm = np.linalg.norm(kernel, axis=0)
    rng = np.random.default_rng(run.settings.seed)

    def without(active: np.ndarray) -> float:
        return report.accuracy(run.model, report.prune(weights, active), images, labels)

    half = np.arange(len(norm)) < len(norm) // 2
    p = run.probabilities
    wrong = p.argmax(axis=1) != labels
    return {
        "zero weights": zero_weights(run)[0],
        "without smallest norms": without(norm > np.median(norm)),
        "without a random half": float(np.mean([without(rng.permutation(half)) for _ in range(5)])),
        "dead neurons": int((images @ kernel + bias <= 0).all(axis=0).sum()),
        "confidence": float(p.max(axis=1).mean()),
        "confidence where wrong": float(p.max(axis=1)[wrong].mean()),
    }


def repairs(study: pd.DataFrame) -> pd.DataFrame:
    """Scores by change and seed: an index of both, a column a score."""
    columns = [*SCORES, "matrix"]
    parts = {
        name: pd.DataFrame({score: study[f"{name}: {score}"] for score in columns})
        for name in CHANGES
    }
    return pd.concat(parts, names=["change", "seed"])


def gains(study: pd.DataFrame, score: str) -> pd.DataFrame:
    """What each repair changes, in points, from the same seeds: a row a change, mean and error."""
    values = 100 * repairs(study)[score].unstack("seed")
    gaps = values.sub(values.loc[PRINTED]).reindex(CHANGES)
    return pd.DataFrame({"mean": gaps.mean(axis=1), "error": pd.Series(gaps.sem(axis=1)).fillna(0)})


def draw_repairs(study: pd.DataFrame) -> None:
    """Accuracy of the programs that differ: with the neurons they use, and really pruned."""
    names = {
        PRINTED: "as printed",
        "likelihood without a floor": "no floor in\nthe likelihood",
        KEPT_MOMENTS: "Adam keeps\nits moments",
        "pruned neurons are not used": "pruned neurons\nare not used",
        "really pruned for good": "pruned for good",
        FOR_GOOD_TOO: "pruned for good,\nAdam repaired",
        "all but the Bayesian part": "all but the\nBayesian part",
    }
    frame = repairs(study)
    rows = np.arange(len(names))[::-1]
    (ax,) = plots.panels(1, height=4.8)
    looks = {  # diamonds first, so that a dot can be seen within
        "pruned": ("report, pruned", "D", 11, "inactive neurons really zero"),
        "accuracy": ("report", "o", 7, "as the program counts it"),
    }
    for score, (colour, marker, size, label) in looks.items():
        values = frame[score].unstack("seed").loc[list(names)]
        line: dict[str, Any] = {"color": plots.COLOURS[colour], "marker": marker, "ls": ""}
        for column in values:
            ax.plot(values[column], rows, ms=size / 2, alpha=0.4, **line)
        ax.plot(values.mean(axis=1), rows, ms=size, label=label, **line)
    ax.set_yticks(rows, list(names.values()), fontsize="small")
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel("test accuracy")
    ax.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2, fontsize="small")


def repair_tables(study: pd.DataFrame, printed: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Accuracies and what repairs change in them; and the other scores.

    `printed`: the study of the program as printed, with more seeds.
    """
    accuracy = pd.DataFrame({"Program": list(CHANGES)})
    first = {"accuracy": "accuracy_mean", "pruned": "pruned_accuracy"}
    for score, head in {"accuracy": "Accuracy", "pruned": "Really pruned"}.items():
        found = gains(study, score)
        cells = [f"{m:+.2f} ± {e:.2f}" for m, e in found.to_numpy()]
        values = 100 * printed[first[score]]
        cells[0] = f"{values.mean():.2f} ± {values.sem():.2f}"
        accuracy[head] = cells
    means = pd.DataFrame(repairs(study).groupby("change", sort=False).mean())
    shown = {"loss": "Training loss", "nll": "NLL", "ece": "ECE", "iterations": "Iterations"}
    formats = {"loss": "{:.2f}", "nll": "{:.2f}", "ece": "{:.3f}", "iterations": "{:.1f}"}
    rest = pd.DataFrame({"Program": list(CHANGES)})
    for score, head in shown.items():
        rest[head] = [formats[score].format(v) for v in means[score].tolist()]
    return accuracy, rest


def glued(study: pd.DataFrame, printed: pd.DataFrame) -> dict[str, Any]:
    """Numbers of the text."""
    gain = gains(study, "accuracy")["mean"].round(1) + 0.0  # no -0.0
    return {
        "adam_gain": f"{gain[KEPT_MOMENTS]:.1f}",
        "printed_accuracy": f"{printed['accuracy_mean'].mean():.1%}",
        "printed_pruned": f"{printed['pruned_accuracy'].mean():.1%}",
        "printed_seeds": len(printed),
        "repaired_pruned": f"{gain[FOR_GOOD_TOO]:+.1f}",
        "for_good": f"{gain['really pruned for good']:+.1f}",
        "audit_seeds": len(study),
        "dead": f"{study['dead neurons'].mean():.0f}",
        "unsure": f"{study['confidence where wrong'].mean():.0%}",
    }


def results(runs: dict[str, report.Result], study: pd.DataFrame) -> dict[str, float]:
    """What the page records besides its claims: its own runs, and a mean over the study."""
    metrics = {name: run.metrics for name, run in runs.items()}
    return {
        "as_printed": metrics[PRINTED]["test_accuracy"],
        "as_printed_pruned": metrics[PRINTED]["pruned_test_accuracy"],
        "adam_repaired": float(np.asarray(study[f"{KEPT_MOMENTS}: accuracy"]).mean()),
        "adam_repaired_really_pruned": float(np.asarray(study[f"{FOR_GOOD_TOO}: accuracy"]).mean()),
    }


def here(runs: dict[str, report.Result], study: pd.DataFrame, seed: int) -> Any:
    """The page's own runs beside the study's of the same seed, if it has one."""
    there = study[study["seed"] == seed] if "seed" in study else study
    rows = []
    for name in (PRINTED, TARGET):
        kept = [f"{value:.2%}" for value in np.asarray(there[f"{name}: accuracy"], float)]
        rows.append((name, f"{runs[name].metrics['test_accuracy']:.2%}", *kept[:1]))
    return _table(rows, ["Program", "Accuracy on this page", "In the study"])


def counted(runs: dict[str, report.Result]) -> Any:
    """What is counted as pruned, and what is."""
    printed, other = runs[PRINTED], runs[TARGET]
    zeros, total = zero_weights(printed)
    hidden = printed.settings.hidden
    anything = np.random.default_rng(printed.settings.seed).normal(size=hidden)
    above = int((anything > np.median(anything)).sum())
    changed = (printed.probabilities != other.probabilities).any(axis=1)
    rows = [
        ("active neurons, as the program counts", f"{printed.metrics['active_neurons']}"),
        ("the same with a target of 0.9", f"{other.metrics['active_neurons']}"),
        (f"above the median of {hidden} random numbers", f"{above}"),
        ("saved weights that are zero", f"{zeros} of {total}"),
        ("test images on which the two targets differ", f"{changed.sum()} of {len(changed)}"),
    ]
    return _table(rows, ["What is counted", "Count"])


class Steps(NamedTuple):
    """A state after one call of module B, and what follows from it."""

    left: dict[float, int]  # neurons with rho above 0 by target
    pruned: list[int]  # neurons with rho of 0: after the threshold, one minibatch later
    least: float  # rho, one minibatch later


def module_b(seed: int) -> Steps:
    """Threshold rho at several targets; then show the program one minibatch more."""
    settings = report.ReportSettings(seed=seed)
    state = report.module_b(report.init(report.build_model(128, seed)), settings)
    left = {}
    for target in (0.1, 0.5, 0.9):
        after = report.end_of_iteration(state, replace(settings, sparsity=target))
        left[target] = int((after.rho.numpy() > 0).sum())
    thresholded = report.end_of_iteration(state, settings)
    again = report.module_b(thresholded, settings)
    zeros = [int((s.rho.numpy() == 0).sum()) for s in (thresholded, again)]
    return Steps(left, zeros, float(again.rho.numpy().min()))


def targets(steps: Steps) -> Any:
    """Neurons that each target leaves, and what the word would mean."""
    rows = [(f"{t:.1f}", f"{n}", f"{round(128 * (1 - t))}") for t, n in steps.left.items()]
    return _table(rows, ["Target sparsity", "Neurons left", "Left if it were a sparsity"])


def comes_back(steps: Steps) -> Any:
    """How many neurons have a rho of zero, before and after one more minibatch."""
    rows = [
        ("at the end of an iteration", f"{steps.pruned[0]}", "0.00"),
        ("one minibatch later", f"{steps.pruned[1]}", f"{steps.least:.2f}"),
    ]
    return _table(rows, ["When", "Neurons with rho of zero", "Smallest rho"])


def removal(study: pd.DataFrame) -> Any:
    """Accuracy of the program's networks without some of their neurons."""
    columns = {
        "all neurons": f"{PRINTED}: accuracy",
        "without the inactive ones": f"{PRINTED}: pruned",
        "without the half of smallest norm": "without smallest norms",
        "without a random half": "without a random half",
    }
    rows = [(name, _percent(study[column])) for name, column in columns.items()]
    return _table(rows, ["Network", f"Accuracy, {len(study)} seeds"])


def step_sizes(em_iters: int, train_size: int) -> pd.Series:
    """The program's step for a gradient of one, by updates of Adam's counter."""
    last = max(4 * em_iters * train_size // 100, 2)
    counts = np.unique(np.geomspace(1, last, 120).astype(int))
    sizes = report.fresh_adam_step(tf.ones(len(counts)), tf.constant(counts), 0.01)
    return pd.Series(sizes.numpy(), index=counts)


def draw_steps(sizes: pd.Series) -> None:
    """The step by update, between the rate asked for and its limit."""
    (ax,) = plots.panels(1)
    ax.plot(sizes.index, sizes, color=plots.COLOURS["report"], lw=2.5)
    for value, style, label in ((0.01, "--", "rate asked for"), (0.01 * 10**0.5, ":", "limit")):
        ax.axhline(value, color=plots.COLOURS["reported"], ls=style, lw=1.5)
        ax.annotate(label, (1, value), va="bottom", color=plots.COLOURS["reported"],
                    fontsize="small", xytext=(2, 2), textcoords="offset points")  # fmt: skip
    ax.set(xscale="log", ylim=(0, 0.036), xlabel="updates of Adam's counter", ylabel="step size")


def steps_by_gradient() -> Any:
    """Late in training: what the step makes of gradients of very different size."""
    gradients = tf.constant([1.0, 1e-3, 1e-5, 1e-6, 1e-7, 0.0])
    steps = report.fresh_adam_step(gradients, tf.constant(4000), 0.01).numpy()
    names = ["1", "0.001", "0.00001", "0.000001", "0.0000001", "0"]
    rows = [(name, f"{step:.4f}") for name, step in zip(names, steps, strict=True)]
    return _table(rows, ["Gradient", "Step"])


def variance_after(seed: int, steps: int = 10) -> dict[str, float]:
    """Variance after some steps of module A, with the right labels and with random ones."""
    settings = report.ReportSettings(seed=seed)
    images, labels = (x[:100] for x in report.load_data(1000, settings).test)
    model = report.build_model(128, seed)
    drawn = np.random.default_rng(seed).integers(0, 10, 100)
    found = {}
    for name, given in {"right": labels, "drawn at random": drawn}.items():
        state = report.init(model)
        for _ in range(steps):
            y = tf.one_hot(given, 10)
            state, _ = report.module_a(state, tf.constant(images), y, model, settings)
        found[name] = float(state.variance)
    return found


def variances(after: dict[str, float], run: report.Result, steps: int = 10) -> Any:
    """Both variances beside the schedules that they follow."""
    passed = int(run.metrics["em_iters_run"])
    rows = [
        (
            f"of the weights, {steps} steps, labels {name}",
            f"{value:.6f}",
            f"{0.1 * 0.95**steps:.6f}",
        )
        for name, value in after.items()
    ]
    noise = run.metrics["noise_variance"]
    rows.append((f"of the noise, {passed} iterations", f"{noise:.6f}", f"{0.99**passed:.6f}"))
    return _table(rows, ["Variance", "In the program", "By the clock alone"])


def sureness(study: pd.DataFrame) -> Any:
    """How sure the program's networks are, and how right."""
    ece = study[f"{PRINTED}: ece"]
    rows = [
        ("mean confidence", _percent(study["confidence"])),
        ("accuracy", _percent(study[f"{PRINTED}: accuracy"])),
        ("mean confidence where it is wrong", _percent(study["confidence where wrong"])),
        ("expected calibration error", _percent(ece)),
    ]
    return _table(rows, ["Of the program's networks", f"Mean over {len(study)} seeds"])


def floor() -> Any:
    """The pull of a misclassified image on its class's output, with the floor and without."""
    margins = (1.0, 3.0, 5.0, 7.0, 10.0)
    logits = tf.Variable([[-m] + [0.0] * 9 for m in margins])
    truth = tf.one_hot([0] * len(margins), 10)
    pulls = []
    for stable in (False, True):
        with tf.GradientTape() as tape:
            fit = report.log_likelihood(logits, truth, 1.0, stable)
        pulls.append(tape.gradient(fit, logits)[:, 0].numpy())
    rows = [(f"{m:.0f}", f"{a:.4f}", f"{b:.1f}") for m, a, b in zip(margins, *pulls, strict=True)]
    return _table(rows, ["Behind by", "Gradient with the floor", "Gradient of log Φ itself"])


def stopping(study: pd.DataFrame) -> Any:
    """The program with its patience of three: what its table and its matrix are of."""
    columns = {
        "Iterations": (f"{STOPPED}: iterations", "{:.0f}"),
        "Accuracy, its table": (f"{STOPPED}: accuracy", "{:.2%}"),
        "Accuracy, its matrix": (f"{STOPPED}: matrix", "{:.2%}"),
        "Without stopping": (f"{PRINTED}: accuracy", "{:.2%}"),
    }
    seeds = study["seed"].tolist() if "seed" in study else study.index.tolist()
    cells = [[form.format(v) for v in study[name].tolist()] for name, form in columns.values()]
    rows = list(zip([str(seed) for seed in seeds], *cells, strict=True))
    return _table(rows, ["Seed", *columns])


def _percent(found: Any) -> str:
    values = pd.Series(found)
    spread = f"\xa0±\xa0{values.sem():.1%}" if len(values) > 1 else ""
    return f"{values.mean():.1%}{spread}"


def _table(rows: list[tuple[str, ...]], head: list[str]) -> Any:
    frame = pd.DataFrame(rows, columns=pd.Index(head))
    text = frame.to_html(index=False, border=0, classes="table", justify="left")
    text = text.replace("<td>", '<td style="white-space: normal">')  # all of it on a phone
    return HTML(f'<div class="scrolls">{text}</div>')
