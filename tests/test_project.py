"""The project's own files agree with each other."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import emtdamp
from tests.names import found

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
BOOK = ["study", "sweep", "book", "federated"]  # the extras of environment.yml


def requirements(extras):
    """Direct dependencies by name, those of the named extras included, our own extras left out."""
    lines = PROJECT["dependencies"] + [
        line for extra in extras for line in PROJECT["optional-dependencies"][extra]
    ]
    found = {Requirement(line).name: Requirement(line) for line in lines}
    found.pop("emtdamp", None)
    return found


def test_environment_yml_has_the_books_dependencies_at_the_same_versions():
    entries = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))["dependencies"]
    from_pip = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    conda = [entry.replace("matplotlib-base", "matplotlib") for entry in entries if entry != "pip"
             and not isinstance(entry, dict)]  # fmt: skip
    here = {Requirement(line).name: Requirement(line) for line in conda + from_pip}
    python = here.pop("python")
    assert str(python.specifier) == str(Requirement(f"x{PROJECT['requires-python']}").specifier)
    assert {n: (str(r.specifier), r.extras) for n, r in here.items()} == {
        n: (str(r.specifier), r.extras) for n, r in requirements(BOOK).items()
    }


def test_the_lock_file_pins_every_dependency_with_hashes_and_no_addresses():
    text = (ROOT / "requirements.lock").read_text("utf-8")
    pinned = set(re.findall(r"^([a-z0-9._-]+)==", text, re.MULTILINE))
    missing = {n.lower() for n in requirements([*BOOK, "test"])} - pinned
    assert not missing
    entries = re.split(r"\n(?=[a-z0-9])", text.strip())
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text and "tensorflow-cpu" not in pinned


def test_a_gpu_is_an_extra():
    assert PROJECT["optional-dependencies"]["gpu"] == ["tensorflow[and-cuda]"]


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert emtdamp.__version__ == PROJECT["version"] == citation["version"]


def test_the_readme_shows_the_two_commands_and_only_flags_that_exist():
    from emtdamp.cli import parser

    text = (ROOT / "README.md").read_text("utf-8")
    assert "make book" in text and "make test" in text
    shown = re.findall(r"^\$? ?emtdamp (.+?)(?:  #.*)?$", text.replace("\\\n", ""), re.MULTILINE)
    assert shown
    for words in shown:
        parser().parse_args(words.split())


def test_the_public_names_are_the_same_everywhere():
    public = set(emtdamp.__all__)
    assert emtdamp.__doc__ is not None and public <= set(dir(emtdamp))
    assert public <= set(re.findall(r"`(\w+)`", emtdamp.__doc__))
    page = (ROOT / "book" / "api.md").read_text("utf-8")
    assert (
        set(re.findall(r"^\.\. auto\w+:: emtdamp\.(\w+)$", page, re.MULTILINE))
        - {
            "datasets",
            "metrics",
        }
        == public
    )
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = re.findall(r"^\s*from emtdamp import (.+)$", readme, re.MULTILINE)
    assert {name for line in shown for name in line.split(", ")} - {"datasets"} <= public
    for name in public:
        assert re.search(rf"\b{name}\b", readme), name
        assert getattr(emtdamp, name).__doc__
    with pytest.raises(AttributeError, match="has no attribute 'EMTDAMP'"):
        emtdamp.EMTDAMP  # noqa: B018


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_what_the_map_names_exists(page):
    text = (ROOT / page).read_text("utf-8")
    for path in set(re.findall(r"`((?:emtdamp|book|sweeps|tests|benchmarks)/[\w./-]*)`", text)):
        if "NAME" not in path and "NN-" not in path and "_build" not in path:
            assert (ROOT / path).exists(), path
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (ROOT / link).exists(), link
    packages = ("messages", "training", "estimators", "study", "baselines")
    places = ["", "emtdamp.", *(f"emtdamp.{package}." for package in packages)]
    for dotted in set(re.findall(r"`(\w+(?:\.\w+)+)`", text)):
        if dotted.endswith((".py", ".md", ".yml", ".csv", ".ipynb")):
            continue
        assert any(found(place + dotted) for place in places), dotted


def test_every_study_has_its_results_and_every_result_its_study():
    studies = {path.stem for path in (ROOT / "sweeps").glob("*.yml")}
    timed = {"speed"}  # by benchmarks/
    assert studies | timed == {path.stem for path in (ROOT / "sweeps").glob("*.csv")} != set()


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_no_path_of_one_machine_is_committed():
    pattern = r"(^|[^A-Za-z0-9_.])/(home|root|Users|tmp/[a-z]+)/"
    done = subprocess.run(
        ["git", "grep", "-lIE", pattern, "--", ".", ":!tests", ":!requirements.lock",
         ":!book/_static/mathjax"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == ""
