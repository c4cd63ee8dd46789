"""The front page's and the README's sentences say what the committed studies say."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emtdamp.study import headlines, pages

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
FRONT = (ROOT / "book" / "index.md").read_text("utf-8")
STANDING = re.compile(r"\b(ahead|level|behind)\b")
NUMBER = re.compile(r"\d+\.\d+|\d+ %")


READ = pages.study


class Studies(dict[str, pd.DataFrame]):
    """Studies by name, read when asked for and then to be changed."""

    def __missing__(self, name: str) -> pd.DataFrame:
        self[name] = READ(name)
        return self[name]


@pytest.fixture
def studies(monkeypatch) -> Studies:
    found = Studies()
    monkeypatch.setattr(pages, "study", lambda name: found[name].copy())
    return found


def test_the_readme_is_what_the_studies_give():
    assert headlines.rewritten(README) == README, "run: python -m emtdamp.study.headlines"


def test_a_readme_that_drifted_is_noticed():
    drifted = README.replace("ahead at", "far ahead at", 1)
    assert drifted != README and headlines.rewritten(drifted) == README


def test_the_front_page_shows_every_headline_and_no_other():
    shown = re.findall(r"\{glue:text\}`(\w+)`", FRONT)
    assert sorted(shown) == sorted(headlines.HEADLINES)


def test_the_front_page_types_no_result_of_ours():
    """Its own words hold no verdict on a method, and no number but the report's."""
    found = FRONT.partition("## What was found")[2].partition("How to read a verdict")[0]
    points = found.split("\n- ")[1:]
    for text in points:
        words = text.partition("\n\n")[0]
        assert not STANDING.search(words), words
        assert not NUMBER.search(words), words


def test_a_sentence_without_a_result_is_none():
    for name, text in headlines.texts().items():
        assert NUMBER.search(text), name
        assert text.endswith(".") and "nan" not in text, name


def test_words_turn_with_the_rows(studies):
    rows = studies["mnist-rounds"]
    ours = (rows["method"] == "em-tdamp") & (rows["followed"] == 100)
    for error, word in [(0.01, "ahead of"), (0.9, "behind")]:
        rows.loc[ours, "error_1"] = error
        assert f"is {word} the fastest" in headlines.first_pass()


def test_close_means_are_level(studies):
    rows = studies["mnist-rounds"]
    best = rows[rows["method"] == "adam, 0.002 standardised"].sort_values("seed")["error_1"]
    ours = (rows["method"] == "em-tdamp") & (rows["followed"] == 100)
    rows.loc[ours, "error_1"] = best.to_numpy() + best.sem()
    assert "is level with the fastest" in headlines.first_pass()


def test_house_prices_are_compared_split_by_split(studies):
    rows = studies["boston-splits"]
    cells = [f"single: rmse_{k}" for k in range(20)]
    ours, trees = (rows["model"] == name for name in ("em-tdamp 50", "gradient boosting"))
    rows.loc[ours, cells] = rows.loc[trees, cells].to_numpy() - 0.01  # far less than the spread
    assert "is ahead of gradient boosting" in headlines.boston_whole()
    ours = rows["model"] == "em-tdamp 2 x 50"
    for score, word in [("ll", "ahead of"), ("rmse", "behind")]:
        names = [f"{score}_{k}" for k in range(20)]
        best = rows.loc[trees, [f"single, calibrated: {name}" for name in names]].to_numpy()
        rows.loc[ours, [f"ensemble, calibrated: {name}" for name in names]] = best + 0.01
        assert f"{word} " in headlines.boston_whole().rpartition(":")[2]


def test_small_tables_are_compared_fold_by_fold(studies):
    rows = studies["tables"]
    ours, mlp = ([f"{model}_loss_{fold}" for fold in range(5)] for model in ("ours", "mlp"))
    for gap, word in [(-0.001, "ahead"), (0.001, "behind")]:  # far less than the spread of folds
        steps = gap * np.array([1.0, 1.1, 0.9, 1.0, 1.0])
        rows[ours] = rows[mlp].to_numpy() + steps
        assert headlines.small_tables().endswith(f"EM-TDAMP is {word} on 10.")


def test_numbers_are_those_of_the_rows(studies):
    rows = studies["report-seeds"]
    rows["pruned_accuracy"] = [0.5, 0.6] * 15
    assert "really removed it classifies 55.00 ± 0.93 %" in headlines.report_accuracy()
    rows["accuracy_mean"] = 0.93
    assert "92.77 % is reached by 30 of them." in headlines.report_accuracy()


def test_a_row_of_the_papers_own_form_is_no_rival(studies):
    rows = studies["mnist-groups"]
    before = headlines.hidden_neurons(), headlines.inputs_too()
    perfect = rows[rows["method"] == "em-tdamp"].assign(method="paper")
    perfect[[name for name in rows if "_at_" in name]] = 0.0
    studies["mnist-groups"] = pd.concat([rows, perfect], ignore_index=True)
    assert (headlines.hidden_neurons(), headlines.inputs_too()) == before
