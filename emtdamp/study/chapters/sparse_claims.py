"""Claims of the page `sparse-parameterisation`: the slides', number by number."""

from __future__ import annotations

import numpy as np

from emtdamp import datasets
from emtdamp.baselines import replicas
from emtdamp.study import pages
from emtdamp.study.chapters import sparse_parameterisation as sparse
from emtdamp.study.chapters import sparse_training as training
from emtdamp.study.chapters.sparse_parameterisation import OURS, SPARSE, Fronts
from emtdamp.study.chapters.sparse_training import Found
from emtdamp.study.claims import BOOK
from emtdamp.study.headlines import WORDS

SLIDES = "sparsity slides"
COUNTED = "counted from the architecture or the data"


def claims(found: Fronts) -> list[pages.Claim]:
    """All claims; those of the fronts only where both studies are complete."""
    made = [*_sizes(), *_mathematics()]
    return made + (_fronts(found) if sparse.complete(found) else [])


def _number(text: str, reported: float, ours: float) -> pages.Claim:
    return pages.numeric(
        text, reported=reported, ours=ours, tolerance=0, why="a count", source=SLIDES,
        certain=COUNTED,
    )  # fmt: skip


def _sizes() -> list[pages.Claim]:
    iris, musk = (training.task(name) for name in ("iris", "musk"))
    instances, inputs = iris.data.shape[0], iris.data.shape[1]
    defaults = _defaults(musk)
    no_bias = iris.size - 3
    features = datasets.load_musk1().features
    return [
        _number("Iris: flowers", 150, instances),
        _number("Iris: inputs", 4, inputs),
        _number("Iris network 4-8-3: trainable parameters", 67, iris.size),
        pages.statement(
            "Equation 2: the network's layers",
            reported="the output layer has no bias",
            ours=f"{no_bias} parameters without an output bias, {iris.size} with",
            holds=no_bias == 67,
            why="67 parameters with the formula as printed",
            source=SLIDES,
            certain=COUNTED,
        ),
        _number("Musk: bags", 92, len(musk.y)),
        _number("Musk: instances", 476, len(features)),
        _number("Musk: inputs", 166, features.shape[1]),
        pages.statement(
            "Musk: where the data are",
            reported="the link is to version 2",
            ours=f"{len(musk.y)} bags and {len(features)} instances are version 1's",
            holds=False,
            why="version 2 has 102 bags of 6,598 instances",
            source=SLIDES,
            certain="a fact about the link",
        ),
        pages.statement(
            "Musk network: trainable parameters",
            reported=1922,
            ours=f"{musk.size - defaults} in dense layers, {musk.size} with an empty bag's values",
            holds=musk.size == 1922,
            why="our reading: a learnt value for each pooled output of an empty bag",
            source=SLIDES,
            certain=COUNTED,
        ),
    ]


def _mathematics() -> list[pages.Claim]:
    far = sparse.marginals()
    rows = [
        pages.statement(
            f"Table 1: the marginal prior is {name}",
            reported=f"{variance} variance",
            ours=f"largest relative distance {far[name]:.1g}",
            holds=far[name] < (0.02 if name == "spike and slab" else 1e-6),
            why="draws, 2 %" if name == "spike and slab" else "quadrature, 1e-6",
            source=SLIDES,
            certain="a theorem",
        )
        for name, variance in (
            ("Laplace", "exponential"),
            ("Student-t", "inverse-Gamma"),
            ("spike and slab", "Bernoulli"),
        )
    ]
    table = sparse.without_bound()
    six, seven = (table[table.columns[k]].astype(float) for k in (2, 3))
    rows += [
        pages.statement(
            "Equation 4: log evidence is bound plus divergence",
            reported="equal",
            ours=f"apart by {sparse.identity_gap():.1g}",
            holds=sparse.identity_gap() < 1e-9,
            why="a Gaussian case in closed form",
            source=SLIDES,
            certain="an identity",
        ),
        pages.statement(
            "The factor of the precisions has an analytical solution",
            reported="analytical",
            ours=f"within {sparse.factor_gap():.1g} of a numerical maximum",
            holds=sparse.factor_gap() < 1e-5,
            why="relative distance below 1e-5",
            source=SLIDES,
            certain="a theorem",
        ),
        pages.statement(
            "Equation 6: log-likelihood plus the penalty is maximised",
            reported="plus",
            ours=f"it grows to {six.iloc[-1]:.0f} and beyond while no probability changes",
            holds=bool(six.iloc[-1] <= six.iloc[0]),
            why="the objective has a maximum",
            source=SLIDES,
            certain="all output biases can move together",
        ),
        pages.statement(
            "Equation 7: mean loss minus the prior's term",
            reported="minus",
            ours=f"to be minimised, it falls to {seven.iloc[-1]:.0f} and beyond",
            holds=bool(seven.iloc[-1] >= seven.iloc[0]),
            why="the objective has a minimum",
            source=SLIDES,
            certain="all output biases can move together",
        ),
    ]
    return rows


def _fronts(found: Fronts) -> list[pages.Claim]:
    made = []
    for task, label in sparse.TASKS.items():
        methods, weights = found[task], SPARSE[task]
        size = training.task(task).size
        share = f"{1 - weights / size:.0%}"
        dense, few = (sparse.at(methods["vadam"], k) for k in (size, weights))
        loss = pages.compare(few, dense, paired=True)
        made.append(
            pages.statement(
                f"{label}: sparse with minimal error increase",
                reported="minimal",
                ours=f"{few.mean():.1%} with {share} pruned, {dense.mean():.1%} before",
                holds=loss.standing in ("level", "ahead"),
                why="Vadam + ARD; level by two standard errors of the paired difference",
                source=SLIDES,
            )
        )
        where = f"{label}, {share} pruned"
        for other, source in (("l1", SLIDES), ("ivon", BOOK)):
            made.append(_beside(methods, "vadam", other, weights, f"{where}: Vadam + ARD", source))
        if OURS in methods:
            made += [
                _beside(methods, OURS, other, weights, f"{where}: EM-TDAMP", BOOK)
                for other in sparse.SINGLE
            ]
    few = 1 - sparse.at(found["iris"]["vadam"], SPARSE["iris"])
    made.append(
        pages.goal(
            "Iris, 6 of 67 weights left: accuracy of Vadam + ARD",
            required=0.95,
            aim=0.956,
            ours=float(few.mean()),
            sd=float(few.std(ddof=1)),
            n=len(few),
        )
    )
    once, often = (found["iris"].get(m) for m in ("vadam", "vadam, prior x N"))
    if once is not None and often is not None:
        right, printed = (one.own.min(axis=1) for one in (once, often))
        made.append(
            pages.versus(
                "Equation 7: the prior's term is not divided by N",
                reported="not divided",
                ours=f"smallest error {printed.mean():.1%}, divided {right.mean():.1%}",
                standing=pages.compare(printed, right, paired=True).standing,
                why="Iris, paired by split; the smallest error that any strength has",
                source=SLIDES,
            )
        )
    return made


def _beside(
    methods: dict[str, Found], one: str, other: str, weights: int, what: str, source: str
) -> pages.Claim:
    """One method's error beside another's, with so many weights left."""
    ours, theirs = (sparse.at(methods[name], weights) for name in (one, other))
    return pages.versus(
        f"{what} beside {sparse.LABELS[other]}",
        reported="compared, no number" if one == "vadam" else "not compared",
        ours=f"error {ours.mean():.1%} against {theirs.mean():.1%}",
        standing=pages.compare(ours, theirs, paired=True).standing,
        why="paired by split, two standard errors",
        source=source,
    )


def glued(found: Fronts) -> dict[str, str | int]:
    """What the text quotes; dashes where the studies are not shown."""
    iris, musk = (training.task(name) for name in ("iris", "musk"))
    values: dict[str, str | int] = {
        "iris_size": iris.size,
        "musk_size": f"{musk.size:,}",
        "musk_dense": f"{replicas.size(musk.architecture) - _defaults(musk):,}",
        "defaults": _defaults(musk),
    }
    for task in SPARSE:
        ours = [f"ours_{task}", "ours_iris_8", *(f"ours_{task}_{m}" for m in sparse.SINGLE)]
        values |= dict.fromkeys(ours, "not shown")
    pairs = [(task, other) for task in SPARSE for other in ("l1", "ivon")]
    if not sparse.complete(found):
        names = [f"{m}_{t}" for t in SPARSE for m in sparse.SINGLE]
        names += [f"{task}_{other}" for task, other in pairs]
        names += ["splits", "musk_splits", "groups_splits", "groups", "groups_left"]
        return values | dict.fromkeys(names, "not shown")
    for task, weights in SPARSE.items():
        errors = {m: sparse.at(found[task][m], weights) for m in sparse.SINGLE}
        values |= {f"{m}_{task}": f"{e.mean():.1%}" for m, e in errors.items()}
    for task, other in pairs:
        values[f"{task}_{other}"] = _standing(found[task], "vadam", other, SPARSE[task])
    for task, weights in SPARSE.items():
        if OURS in (here := found[task]):
            values[f"ours_{task}"] = f"{sparse.at(here[OURS], weights).mean():.1%}"
            for other in sparse.SINGLE:
                values[f"ours_{task}_{other}"] = _standing(here, OURS, other, weights)
    if OURS in found["iris"]:
        values["ours_iris_8"] = f"{sparse.at(found['iris'][OURS], 8).mean():.1%}"
    values["splits"] = len(found["iris"]["vadam"].error)
    values["musk_splits"] = len(found["musk"]["vadam"].error)
    groups = found["iris"].get("em-tdamp")
    values["groups_splits"] = 0 if groups is None else len(groups.error)
    if groups is not None:
        smallest = int(np.argmin(groups.levels))
        values["groups_left"] = groups.levels[smallest]
        values["groups"] = f"{groups.error[:, smallest].mean():.1%}"
    else:
        values |= {"groups": "not in the study yet", "groups_left": 8}
    return values


def _standing(methods: dict[str, Found], one: str, other: str, weights: int) -> str:
    """Of the first method's error beside the other's, paired by split, in words."""
    errors = (sparse.at(methods[name], weights) for name in (one, other))
    return WORDS[pages.compare(*errors, paired=True).standing]


def _defaults(musk: training.Task) -> int:
    """Values that stand for mean and maximum of an empty bag."""
    return int(np.prod(musk.architecture.shapes[1]))
