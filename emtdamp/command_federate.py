"""What `emtdamp federate` does: clients that keep their rows, in one process.

Imported by the parser, so nothing slow is imported before a run starts.
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from emtdamp.errors import UsageError

NOTES = {
    "test_accuracy": "posterior predictive of the pruned network, as all of these",
    "bytes": "from and to all clients, in the rounds of this run",
    "refused": "answers that were not used",
    "seconds": "of all clients one after the other, compiling included",
}


def run(args: argparse.Namespace) -> None:
    """Run the federation that the flags say, and write its folder."""
    from emtdamp.study import records
    from emtdamp.study.quiet import silenced_stderr

    out = getattr(args, "out", Path("runs") / f"federate-{args.data}-{args.seed}")
    records.check_out(out, args.overwrite)
    with silenced_stderr():
        import tensorflow as tf

        tf.config.list_logical_devices()  # it looks for a GPU, and complains, at first use
    found = train(args)
    for name, value in found["metrics"].items():
        shown = f"{value:.4f}" if isinstance(value, float) else str(value)
        print(f"{name:<20}{shown:>12}  {NOTES.get(name, '')}".rstrip())
    records.write_run(out, **found, overwrite=args.overwrite)
    print(f"written to {out}")


def train(args: argparse.Namespace) -> dict[str, Any]:
    """What `records.write_run` takes."""
    import time

    import pandas as pd
    from sklearn.metrics import confusion_matrix

    from emtdamp.federated import server
    from emtdamp.federated.loop import Rows, make_clients
    from emtdamp.federated.partition import partition
    from emtdamp.federated.settings import Federation
    from emtdamp.study import runs

    if args.engine == "flower":
        from emtdamp.federated import engine  # says what to install where Flower is not
    else:
        from emtdamp.federated import loop as engine
    settings = Federation(
        hidden=(args.hidden,),
        rounds=args.rounds,
        passes=args.passes,
        batch_size=args.batch_size,
        sparsity=args.sparsity,
        seed=args.seed,
    )
    task = runs.mnist(args.train_size)
    parts = partition(args.partition, task.y, args.clients, args.seed)
    state = None
    if args.state is not None and args.state.exists():
        state = server.load(settings, args.state)
        if [*state.held] != [len(part) for part in parts]:
            raise UsageError(
                f"{args.state} is of {state.clients} clients with {_range(state.held)} images of "
                f"{state.rows}, not of {args.clients} with {_range([len(p) for p in parts])} of "
                f"{args.train_size}; give the same --clients, --train-size and --partition"
            )
        print(f"going on after round {state.round} of {args.state}", file=sys.stderr)
    rows: list[dict[str, Any]] = []
    refused: list[str] = []
    began = time.perf_counter()

    def watch(state: server.Server, info: server.Info) -> None:
        if args.state is not None:
            server.save(state, args.state)
        predicted = runs.predict(task, server.posterior(settings, state).prune())
        scores = runs.score(task, predicted)
        refused.extend(info.refused.values())
        rows.append(
            {
                "round": state.round,
                "test_accuracy": scores["accuracy"],
                "test_nll": scores["nll"],
                "clients": len(info.heard),
                "refused": "; ".join(info.refused.values()),
                "active_neurons": info.active[1],
                "bytes": info.bytes_up + info.bytes_down,
                "seconds": time.perf_counter() - began,
            }
        )
        print(
            f"round {state.round}/{settings.rounds}: accuracy {scores['accuracy']:.4f}, NLL "
            f"{scores['nll']:.4f}, {rows[-1]['bytes'] / 1e6:.2f} MB, {len(info.heard)} clients",
            file=sys.stderr,
        )
        for reason in info.refused.values():
            print(f"refused: {reason}", file=sys.stderr)

    clients = make_clients(settings, [Rows(task.x[part], task.y[part]) for part in parts])
    if state is None and args.state is not None:  # no round is lost where it cannot be written
        state = server.begin(settings, [client.summary() for client in clients])
        server.save(state, args.state)
    state = engine.run(settings, clients, watch, state)
    posterior = server.posterior(settings, state).prune()
    predicted = runs.predict(task, posterior)
    scores = runs.score(task, predicted)
    history = pd.DataFrame(rows).set_index("round") if rows else pd.DataFrame()
    return {
        "config": {
            "data": args.data,
            "engine": args.engine,
            "train_size": args.train_size,
            "clients": args.clients,
            "partition": args.partition,
            **asdict(settings),
        },
        "metrics": {
            "test_accuracy": scores["accuracy"],
            "test_nll": scores["nll"],
            "rounds": state.round,
            "bytes": int(sum(row["bytes"] for row in rows)),
            "refused": len(refused),
            "active_neurons": int(posterior.active[1].sum()),
            "parameters": posterior.parameters,
            "seconds": time.perf_counter() - began,
        },
        "history": history,
        "confusion_matrix": confusion_matrix(
            task.y_test, predicted.argmax(axis=1), labels=range(task.classes)
        ),
        "model": posterior.to_keras(),
        "posterior": posterior,
        "figures": {"accuracy": lambda: figure(history)} if rows else {},
    }


def _range(counts: Any) -> str:
    """The least and the most of them, once where they are the same."""
    return " to ".join(f"{count}" for count in sorted({min(counts), max(counts)}))


def figure(history: Any) -> Any:
    """Test accuracy by round."""
    from emtdamp.command_train import ready_plots

    plots = ready_plots()
    (ax,) = plots.panels(1)
    ax.plot(history.index, history["test_accuracy"], "o-", color=plots.COLOURS["em-tdamp"])
    ax.set(xlabel="round", ylabel="test accuracy")
    return ax
