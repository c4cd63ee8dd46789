"""The sentences of the front page and the README, each computed from the committed studies.

    texts()["first_pass"]
    python -m emtdamp.study.headlines     writes README.md's again

A headline is a function of this module that reads studies and returns sentences: their numbers and
their words (ahead, level, behind) come from the same rows and by the same rule as the tables of the
book's pages. `show` gives them to the front page, where the book is built.
"""

import re
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emtdamp.study import claims, contests, methods, pages
from emtdamp.study.chapters import federated, federated_kept
from emtdamp.training import recipes

README = Path(__file__).resolve().parents[2] / "README.md"
MARKED = re.compile(r"(<!-- headlines: ([\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
WORDS = {"ahead": "ahead of", "level": "level with", "behind": "behind"}
WORDS["undecided"] = "not told apart from"


def report_accuracy() -> str:
    """How often the report's program reaches its accuracy, and what is left when it is pruned."""
    study = _study("report-seeds")
    whole, pruned = study["accuracy_mean"], study["pruned_accuracy"]
    return (
        f"The report's program classifies {_percent(whole)} of the test images correctly, the mean"
        f" of {len(study)} seeds. The reported 92.77 % is reached by {(whole >= 0.9277).sum()} of"
        " them."
        " With the neurons that it calls inactive really removed it classifies"
        f" {_percent(pruned)}."
    )


def plain_networks() -> str:
    """The report's program beside dense networks of as many neurons as it counts active."""
    program = _study("report-seeds")["accuracy_mean"]
    dense = _study("typical-mlps")["adam 64: accuracy"]
    gap = claims.compare(dense, program, paired=False, more_is_better=True)
    return (
        "Dense networks of 64 neurons, trained by Adam at Keras's default on the same images,"
        f" classify {_percent(dense)} correctly and are {WORDS[gap.standing]} the report's program"
        " with all its 128 neurons in use."
    )


def half_of_the_neurons() -> str:
    """The report's case, by EM-TDAMP."""
    rows = _size(10_000, 64)
    return (
        "With half of its neurons removed for good, EM-TDAMP classifies"
        f" {_percent(rows['accuracy'])} of the test images correctly; the report says 92.77 %."
    )


def hidden_neurons() -> str:
    """Hidden neurons pruned, against what follows gradients."""
    return _groups("hidden", "hidden neurons")


def inputs_too() -> str:
    """Inputs and hidden neurons pruned, against what follows gradients."""
    return _groups("inputs and hidden", "inputs and of the hidden neurons")


def _groups(groups: str, where: str) -> str:
    study = _study("mnist-groups")
    study = study[study["groups"] == groups]
    kept = [int(text) for text in study["levels"].iloc[0].split()]
    error, nll = (
        at_sizes(contests.against_all(study, score, kept, gradients=True).values())
        for score in ("error", "nll")
    )
    return (
        f"Beside all measured methods that follow gradients, with {kept[0]} to {kept[-1]} % of the"
        f" {where} kept: EM-TDAMP's test error is {error}; its likelihood is {nll}."
    )


def at_sizes(standings: Iterable[claims.Standing]) -> str:
    """How many sizes have each standing, as "ahead at 6 sizes and level at 4"."""
    parts = contests.counted(standings).replace(" on ", " at ").split(", ")
    parts[0] += " size" if parts[0].endswith(" 1") else " sizes"
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def bayes_by_backprop() -> str:
    """Beside the method that is nearest to it: a Gaussian for every weight, and sizes given."""
    study = _study("mnist-groups")
    study = study[study["groups"] == "hidden"]
    kept = [int(text) for text in study["levels"].iloc[0].split()]
    parts = []
    for score, text in {"error": "test error", "nll": "likelihood"}.items():
        found: dict[int, claims.Standing] = {
            k: contests.against(study, f"{score}_at_{k}", "em-tdamp", ["bayes by backprop"])
            for k in kept
        }
        parts.append(f"EM-TDAMP's {text} is {at_sizes(found.values())}")
    mean = study.groupby("method")[[f"error_at_{kept[0]}", f"nll_at_{kept[0]}"]].mean()
    (ours, our_nll), (theirs, their_nll) = (
        mean.loc[method] for method in ("em-tdamp", "bayes by backprop")
    )
    return (
        "Bayes by Backprop has a Gaussian for every weight too, and drops neurons bit by bit by"
        f" their signal to noise. Beside it, {parts[0]}; {parts[1]}."
        f" With {kept[0]} % of the neurons the errors are {_share(ours)} (EM-TDAMP) and"
        f" {_share(theirs)}, the negative log-likelihoods {our_nll:.3f} and {their_nll:.3f}."
    )


def first_pass() -> str:
    """After one pass over 60,000 images."""
    study: Any = contests.with_cases(_study("mnist-rounds"))
    end = int(study["rounds"].max())
    mean = study.groupby("case")["error_1"].mean()
    adam = [case for case in mean.index if case.startswith("adam")]
    best = mean[adam].idxmin()
    raw = best.replace(" standardised", "")
    standing = contests.against(study, "error_1", "em-tdamp 100", adam, by="case")
    text = (
        f"After the first of {end} passes over 60,000 images EM-TDAMP has"
        f" {_share(mean['em-tdamp 100'])} error."
        f" It is {WORDS[standing]} the fastest of {len(adam)} schedules of Adam,"
        f" at {_share(mean[best])}."
    )
    if raw != best and raw in mean.index:
        text += (
            " That one sees standardised inputs; with the pixels as they are the same steps give"
            f" {_share(mean[raw])}."
        )
    return text


def last_pass() -> str:
    """After thirty passes over 60,000 images."""
    study: Any = contests.with_cases(_study("mnist-rounds"))
    end = int(study["rounds"].max())
    mean = study.groupby("case")[[f"error_{end}", f"nll_{end}"]].mean()
    mean.columns = ["error", "nll"]
    own = [f"{method} {kept}" for method in methods.OWN for kept in (50, 100)]
    others = [case for case in mean.index if case not in own]
    best = mean.loc[others].min()
    ours, window = mean.loc["em-tdamp 100"], mean.loc["em-tdamp, window 100"]

    def standing(case: str, score: str) -> str:
        return WORDS[contests.against(study, f"{score}_{end}", case, others, by="case")]

    return (
        f"After {end} passes EM-TDAMP's error, {_share(ours['error'])}, is"
        f" {standing('em-tdamp 100', 'error')} the best of the others, {_share(best['error'])}."
        f" The window form's, {_share(window['error'])}, is"
        f" {standing('em-tdamp, window 100', 'error')} it."
        f" EM-TDAMP's negative log-likelihood, {ours['nll']:.4f}, is"
        f" {standing('em-tdamp 100', 'nll')} theirs, {best['nll']:.4f} at best."
    )


def boston_whole() -> str:
    """House prices, nothing pruned, beside what scikit-learn has."""
    study = _study("boston-splits").set_index("model")
    splits = int(study["splits"].iloc[0])

    def each(model: str, score: str, how: str = "single") -> pd.Series:
        return study.loc[model, [f"{how}: {score}_{k}" for k in range(splits)]].astype(float)

    ours = each("em-tdamp 50", "rmse")
    parts = []
    for model in ("gradient boosting", "gaussian process"):
        gap = claims.compare(ours, each(model, "rmse"), paired=True)
        name = model.replace("gaussian", "the Gaussian")
        parts.append(f"{WORDS[gap.standing]} {name} ({each(model, 'rmse').mean():.2f})")
    deep, words, means = "em-tdamp 2 x 50", {}, {}
    for score in ("rmse", "ll"):
        five = each(deep, score, "ensemble, calibrated")
        trees = each("gradient boosting", score, "single, calibrated")
        gap = claims.compare(five, trees, paired=True, more_is_better=score == "ll")
        words[score], means[score] = WORDS[gap.standing], (five.mean(), trees.mean())
    return (
        "On 455 house prices the error of EM-TDAMP with one whole hidden layer is"
        f" {ours.mean():.2f} thousand dollars. It is {parts[0]} and {parts[1]}."
        f" {int(study.loc[deep, 'members'])} posteriors of two layers, mixed and calibrated,"
        f" have an error of {means['rmse'][0]:.2f} and a"
        f" log-likelihood of {means['ll'][0]:.2f}. They are {words['rmse']} gradient boosting,"
        f" calibrated too, in error, and {words['ll']} it in likelihood ({means['ll'][1]:.2f})."
    )


def boston_pruned() -> str:
    """House prices, hidden neurons pruned."""
    study = _study("boston-methods")
    ends = study[(study["followed"] == 0) & (study["groups"] == "hidden")].set_index("method")
    kept = [int(text) for text in ends["levels"].iloc[0].split()]
    worst = contests.worst_squares(int(ends["splits"].iloc[0]))
    standings = contests.boston_against_all(ends, kept, worst)
    nmse = {m: ends.loc[m, "nmse_at_50"] for m in ("em-tdamp", *methods.rivals(ends.index))}
    best = min(methods.rivals(ends.index), key=nmse.__getitem__)
    return (
        f"On house prices, with {kept[0]} to {kept[-1]} % of the neurons kept, EM-TDAMP is, beside"
        f" all other methods, {at_sizes(standings.values())}. With half of the neurons its"
        f" normalised squared error is {nmse['em-tdamp']:.3f}, that of {methods.label(best)}"
        f" {nmse[best]:.3f}."
    )


def over_clients() -> str:
    """Ten clients that keep their images, beside federated averaging."""
    study = federated.read()
    ours, theirs = federated.OURS, federated.THEIRS
    end = study.rounds()[-1]
    (error, nll), (their_error, their_nll) = (
        [study.last(case, score).mean() for score in ("error", "nll")] for case in (ours, theirs)
    )
    standing = {
        name: WORDS[study.standing(ours, theirs, score, number)]
        for name, score, number in (
            ("first", "error", 1),
            ("last", "error", end),
            ("nll", "nll", end),
        )
    }
    text = (
        f"Over ten clients that keep their images, after {end} rounds EM-TDAMP has"
        f" {_share(error)} error. It is {standing['last']} federated averaging, at"
        f" {_share(their_error)}, and after the first round {standing['first']} it. In likelihood"
        f" it is {standing['nll']} it, {nll:.3f} beside {their_nll:.3f}."
    )
    dropped = federated_kept.standings(study)
    kept = sorted(dropped)
    return text + (
        f" With {kept[0]} to {kept[-1]} % of the neurons kept, beside federated averaging with"
        f" pruning: {at_sizes(dropped.values())}."
        if len(kept) > 1
        else ""
    )


def seconds_a_pass() -> str:
    """An EM iteration beside an epoch of Adam, two ways of it."""
    ratio = _study("speed").dropna(subset=["ratio"]).set_index(["what", "batch"])["ratio"]
    return (
        f"At minibatches of 100 a pass of EM-TDAMP takes {ratio['keras', 100]:.2f} of the seconds"
        f" of a pass of Keras Adam, and {ratio['xla', 100]:.2f} times those of an Adam that is"
        " compiled as one loop."
    )


def seconds_to_accuracy() -> str:
    """Seconds until 97.5 % of the images are right, beside Keras Adam."""
    speed = _study("speed").set_index("what")
    ours, adam = (speed.loc[f"to accuracy, {method}"] for method in ("em-tdamp", "adam"))
    whole = [row["seconds"] + row["compiling"] for row in (ours, adam)]
    return (
        f"To an accuracy of 97.5 % EM-TDAMP takes {ours['seconds']:.2f} seconds, and Keras Adam"
        f" {adam['seconds']:.2f} at the fastest schedule that was tried. Where each has to compile"
        f" first, they take {whole[0]:.2f} and {whole[1]:.2f}."
    )


def small_tables() -> str:
    """Defaults against defaults where rows are few."""
    study = _study("tables")
    ours, mlp, chosen = (
        contests.by_fold(study, model).mean(axis=None) for model in ("ours", "mlp", "chosen")
    )
    found = contests.counted(contests.on_tables(study, "mlp").values())
    return (
        f"On {len(study)} small tables with classes the mean log loss of EM-TDAMP's defaults"
        f" is {ours:.3f}, and that of the defaults of scikit-learn's network {mlp:.3f}. Where that"
        f" network's penalty is cross-validated it has {chosen:.3f}. Table by table beside the"
        f" network's defaults, EM-TDAMP is {found}."
    )


def counts() -> str:
    """How cold the posterior is, and what an uncounted one gives."""
    tried = _study("mnist-choices").groupby("setting")[["nll_10000_32", "nll_50000_128"]].mean()
    once, default = tried.loc["each row counted once"], tried.loc["defaults"]
    here, there = (
        recipes.row_counts((int(rows["kept_inputs"].iloc[0]), 128), 10, images)
        for images in (10_000, 60_000)
        for rows in [_size(images, 128)]
    )
    return (
        "The posterior is narrower than Bayes' rule has it. A network of 128 neurons counts each of"
        f" 10,000 images {here:.1f} times, and each of 60,000 images {there:.1f} times, by a rule"
        " that was fitted to held-out images. Where each image counts once, the negative"
        f" log-likelihood of held-out images is {once['nll_50000_128']:.3f} instead of"
        f" {default['nll_50000_128']:.3f}."
    )


HEADLINES: dict[str, Callable[[], str]] = {
    function.__name__: function
    for function in (
        report_accuracy,
        plain_networks,
        half_of_the_neurons,
        hidden_neurons,
        inputs_too,
        bayes_by_backprop,
        first_pass,
        last_pass,
        boston_whole,
        boston_pruned,
        over_clients,
        seconds_a_pass,
        seconds_to_accuracy,
        small_tables,
        counts,
    )
}


def texts() -> dict[str, str]:
    """Every headline by its name."""
    return {name: headline() for name, headline in HEADLINES.items()}


def show() -> None:
    """Give every headline to the page that is being built, for ``{glue:text}`name` ``."""
    from myst_nb import glue

    for name, text in texts().items():
        glue(name, text, display=False)


def rewritten(readme: str) -> str:
    """A README with the headlines that it names between its marks, a point each."""

    def points(found: re.Match[str]) -> str:
        texts = [HEADLINES[name]() for name in found[2].split()]
        wrap = textwrap.TextWrapper(120, subsequent_indent="  ", break_on_hyphens=False)
        return found[1] + "\n".join(wrap.fill(f"* {text}") for text in texts) + "\n" + found[3]

    return MARKED.sub(points, readme)


def _study(name: str) -> Any:
    """A committed study; what pandas takes from it has more types than can be told apart."""
    return pages.study(name)


def _size(images: int, neurons: int) -> Any:
    """Rows of the study of sizes, a row a seed."""
    study = _study("mnist-sizes")
    rows = study[
        (study["train_size"] == images)
        & (study["active_neurons"] == neurons)
        & (study["update"] == "decoupled")
        & (study["input_sparsity"] == 0)
    ]
    return rows


def _share(value: float | pd.Series) -> str:
    """A share, or the mean of several, as "96.42 %"."""
    return f"{100 * np.mean(value):.2f} %"


def _percent(values: pd.Series) -> str:
    """A share and its standard error, as "96.42 ± 0.05 %"."""
    return f"{100 * values.mean():.2f} ± {100 * claims.standard_error(values):.2f} %"


if __name__ == "__main__":
    README.write_text(rewritten(README.read_text("utf-8")), "utf-8")
