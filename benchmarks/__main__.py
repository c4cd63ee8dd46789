"""python -m benchmarks [--rounds 11] [--out sweeps/speed.csv]: measure all, write the table."""

import argparse
import datetime
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from benchmarks import accuracy, growth
from benchmarks.epochs import Images, em, keras_adam, products, xla_adam
from benchmarks.timing import compare, in_turns
from emtdamp.study import pages

BATCHES = (100, 500, 1000)
HIDDEN = (128,)
COLUMNS = [
    "what", "batch", "hidden", "rows", "epochs", "seconds", "against", "ratio", "low", "high",
    "rounds", "memory", "arrays", "rate", "compiling", "held_out", "accuracy",
]  # fmt: skip


def against_others(rounds: int) -> Iterator[dict]:
    """An EM iteration beside an epoch of each other, at three batch sizes."""
    data = Images()
    others = {"keras": keras_adam, "xla": xla_adam, "products": products}
    for batch in BATCHES:
        runs = {name: make(data, HIDDEN, batch) for name, make in others.items()}
        seconds = in_turns({"em": em(data, HIDDEN, batch)} | runs, rounds)
        for name in others:
            ratio = compare(seconds["em"], seconds[name])
            yield {"what": name, "batch": batch, "rounds": rounds} | ratio._asdict()


def three_passes(rounds: int) -> Iterator[dict]:
    """T = 3 beside T = 1, both in the window form."""
    data = Images()
    runs = {passes: em(data, HIDDEN, 100, update="window", inner_iters=passes) for passes in (1, 3)}
    seconds = in_turns({str(passes): run for passes, run in runs.items()}, rounds)
    ratio = compare(seconds["3"], seconds["1"])
    yield {"what": "passes", "batch": 100, "rounds": rounds} | ratio._asdict()


def growing() -> Iterator[dict]:
    """Width, depth and samples, one at a time, from one network in the middle."""
    cases = [(hidden, growth.ROWS) for hidden in (*growth.WIDTHS, *growth.DEPTHS)]
    for hidden, rows in [*cases, *((HIDDEN, rows) for rows in growth.SAMPLES)]:
        name = "-".join(map(str, hidden))
        found = growth.apart(hidden, rows, 100)
        yield {"what": "growth", "batch": 100, "hidden": name, "rows": rows} | found


def to_accuracy() -> Iterator[dict]:
    """Seconds to `accuracy.TARGET` on all images."""
    for row in accuracy.measure():
        method = row.pop("method")
        yield {"what": f"to accuracy, {method}", "rows": 60_000} | row


def main() -> None:
    """Measure everything and write one CSV."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=11, help="epochs of each, in turns")
    parser.add_argument("--out", type=Path, default=Path("sweeps/speed.csv"))
    given = parser.parse_args()
    rows = []
    around = {"date": datetime.date.today().isoformat()} | pages.environment()
    for part in (
        against_others(given.rounds),
        three_passes(given.rounds),
        to_accuracy(),
        growing(),
    ):
        for row in part:
            row = {"hidden": "128", "rows": 10_000} | row
            print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
            rows.append(row | around)
    table = pd.DataFrame(rows, columns=[*COLUMNS, *around])
    pages.write_text(given.out, table.to_csv(index=False, float_format="%.5g", lineterminator="\n"))


if __name__ == "__main__":
    main()
