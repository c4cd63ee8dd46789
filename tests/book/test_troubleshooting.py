"""The page on troubleshooting: its calls fail, and with the messages that it quotes."""

import re
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from emtdamp.errors import EmtdampError
from emtdamp.training import em, fitting

PAGE = (Path(__file__).parents[2] / "book" / "troubleshooting.md").read_text("utf-8")
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```", re.DOTALL | re.MULTILINE)
BLOCKS: list[tuple[str, str]] = [*BLOCK.findall(PAGE), ("", "")]


def check_says(error: BaseException, message: str) -> None:
    """That this is the message, whatever its lines; ... stands for anything."""
    said = " ".join(f"{type(error).__name__}: {error}".split())
    pattern = ".*".join(map(re.escape, " ".join(message.split()).split("...")))
    assert re.fullmatch(pattern, said), said


@pytest.mark.slow
def test_calls_fail_as_the_page_says(capsys):
    """The last line of code before a message fails with it; all other code runs."""
    names: dict = {}
    for (kind, code), (after, message) in pairwise(BLOCKS):
        if kind == "python":
            *before, last = code.splitlines()
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)
                if after != "text":
                    exec(code, names)
                    continue
                exec("\n".join(before), names)
                with pytest.raises((ValueError, UserWarning)) as raised:
                    exec(last, names)
            check_says(raised.value, message)
    assert "inflation 3.0: log loss" in capsys.readouterr().out


def test_messages_that_stand_without_a_call_are_those_of_a_fit_that_goes_wrong():
    quoted = [text for (before, _), (kind, text) in pairwise(BLOCKS) if before == kind == "text"]
    for message, log_z, failed in zip(quoted, (-1e8, 0.0), (9, 3), strict=True):
        zero = np.zeros(1)
        totals = em.Totals(np.full(1, log_z), zero, zero, zero, np.full(1, failed), zero)
        with pytest.raises(EmtdampError) as raised:
            fitting.check(totals, steps=9, done=0)
        check_says(raised.value, message)


def test_the_list_at_the_top_has_every_symptom():
    listed = re.findall(r"\| \{ref\}`([\w-]+)` \|", PAGE)
    assert listed == re.findall(r"^\(([\w-]+)\)=$", PAGE, re.MULTILINE)


def test_quoted_words_of_the_list_are_in_their_section():
    for words, label in re.findall(r"^\| (.*`.*`.*) \| \{ref\}`([\w-]+)` \|$", PAGE, re.MULTILINE):
        section = PAGE.partition(f"({label})=")[2].partition("\n(")[0]
        for word in re.findall(r"`([^`]+)`", words):
            assert word in section, f"{word} is not in {label}"
