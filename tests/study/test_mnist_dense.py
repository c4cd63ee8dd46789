"""The page `mnist`: dense networks that come from the study of sizes."""

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from emtdamp.study import pages, runs
from emtdamp.study.chapters import mnist


def run(seed: int, sparsity: float = 0.5) -> Any:
    return SimpleNamespace(
        settings=runs.Settings(em_iters=10, sparsity=sparsity, seed=seed),
        metrics={"train_size": 10_000},
        history=pd.DataFrame(index=pd.RangeIndex(1, 11)),
    )


@pytest.mark.parametrize(("method", "prefix"), [("adam", "adam_"), ("adam, 0.005", "cosine_")])
def test_dense_networks_are_those_of_the_same_case_and_seed(method, prefix):
    study: Any = pages.study("mnist-sizes")
    found = mnist._studied(study, [run(0), run(2)], method)
    rows = study[(study["train_size"] == 10_000) & (study["sparsity"] == 0.5)]
    rows = rows[rows["input_sparsity"] == 0].set_index("seed")
    for seed, frame in zip((0, 2), found, strict=True):
        row = rows.loc[seed]
        assert row["active_neurons"] == 64
        assert frame["accuracy"].iloc[-1] == 1 - row[f"{prefix}error_10"]
        assert frame["accuracy"].loc[1] == 1 - row[f"{prefix}error_1"]
        assert frame["nll"].iloc[-1] == row[f"{prefix}nll"]


def test_a_case_that_the_study_lacks_is_trained():
    study = pages.study("mnist-sizes")
    assert mnist._studied(study, [run(0), run(3)], "adam") == []  # it has seeds 0 to 2
    assert mnist._studied(study, [run(0, sparsity=0.95)], "adam") == []
