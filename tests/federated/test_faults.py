"""What a client can do wrong: the round ends without its answer, and says whose and why."""

import re
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtdamp.errors import EmtdampError, UsageError
from emtdamp.federated import server, wire
from emtdamp.federated.client import Client
from emtdamp.federated.loop import ask_all, run
from tests.federated.test_loop import SETTINGS, clients, rows, same

pytestmark = pytest.mark.slow


def begun():
    return server.begin(SETTINGS, [client.summary() for client in clients()])


def a_round(spoil):
    """The state and Info after one round in which client 1's answer was spoilt."""
    state = begun()

    def ask(client, message):
        answer = client.answer(message)
        return spoil(answer) if client.number == 1 else answer

    return server.server_round(
        SETTINGS, state, ask_all(clients(), server.message(SETTINGS, state), ask)
    )


def dies(answer):
    raise ConnectionResetError("connection lost")


def late(answer):
    raise TimeoutError("no answer in 60 s")


def diverges(answer):
    raise EmtdampError("the mean of layer 1 is no longer finite")


def with_nan(answer):
    answer["mean.0"][0, 0] = np.nan
    return answer


def of_another_shape(answer):
    return answer | {"mean.0": answer["mean.0"][1:]}


def of_another_type(answer):
    return answer | {"mean.1": answer["mean.1"].astype("U9")}


def too_sharp(answer):
    return answer | {"curvature.1": 1e6 * answer["curvature.1"]}


def not_proper(answer):
    return answer | {"curvature.0": -answer["curvature.0"]}


def too_far(answer):
    return answer | {"mean.1": answer["mean.1"] + 1e3}


def from_before(answer):
    return answer | {"round": answer["round"] - 1}


def too_many_rows(answer):
    return answer | {"rows": np.asarray(10**9)}


def one_row_more(answer):
    return answer | {"rows": np.asarray(31), "noise_rows": np.asarray(31.0)}


def with_another(name, value):
    return lambda answer: answer | {name: np.asarray(value)}


def in_parts(answer):
    return {name: array for name, array in answer.items() if name != "curvature.1"}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (dies, "connection lost"),
        (late, "no answer in 60 s"),
        (diverges, "no longer finite"),
        (with_nan, "mean.0 is not finite"),
        (of_another_shape, "mean.0 is float32"),
        (of_another_type, "mean.1 is <U9"),
        (too_sharp, "the precision of layer 2 changed by a factor of"),
        (not_proper, "layer 1 has a negative precision"),
        (too_far, "a mean of layer 2 moved by"),
        (from_before, "answers round 0, this is round 1"),
        (too_many_rows, "says it has 1000000000 rows"),
        (one_row_more, "says it has 31 rows; when it began it had 30"),
        (in_parts, "curvature.1 is missing"),
        (with_another("mean.7", np.zeros((2, 2))), "mean.7 was not asked for"),
        (with_another("client", 2), "answers as client 2"),
        (with_another("client", "two"), "client is <U3(), not a number"),
        (with_another("round", np.nan), "round is float64(), not a number"),
        (with_another("rows", "thirty"), "rows is <U6(), not a number"),
        (with_another("count", [1.0, 1.0]), "count is float64(2,), not a number"),
        (with_another("noise", np.nan), "noise is not finite"),
        (with_another("noise", 1e30), "its squared errors sum up to 1e+30"),
        (with_another("noise_rows", -60.0), "its noise is of -60 rows, it has 30"),
        (with_another("count", 1e30), "counts 1e+30 minibatches"),
        (with_another("count", 0.0), "counts 0 minibatches"),
    ],
)
def test_a_round_ends_without_a_spoilt_answer(spoil, reason):
    state, info = a_round(spoil)
    assert info.heard == (0, 2)
    assert info.refused[1].startswith("client 1: ") and reason in info.refused[1]
    first = begun()
    message = server.message(SETTINGS, first)
    without = ask_all([c for c in clients() if c.number != 1], message)
    same(state, server.server_round(SETTINGS, first, without)[0])
    for var in server.posterior(SETTINGS, state).var:
        assert (np.isfinite(var) & (var >= 0)).all()


def test_a_round_without_any_answer_changes_nothing():
    state = begun()
    after, info = server.server_round(SETTINGS, state, {k: OSError("gone") for k in range(3)})
    assert info.heard == () and len(info.refused) == 3 and after.round == 1
    before, now = (server.posterior(SETTINGS, each) for each in (state, after))
    for name in ("mean", "var"):
        for one, other in zip(getattr(before, name), getattr(now, name), strict=True):
            assert_allclose(one, other, rtol=1e-9)


def test_a_client_that_missed_rounds_comes_back():
    lost = iter([False, False, False, True])

    def ask(client, message):
        if next(lost, False):
            raise TimeoutError("asleep")
        return client.answer(message)

    heard = []
    state = run(SETTINGS, clients(), lambda _, info: heard.append(info.heard), ask=ask)
    assert state.round == 3 and heard == [(0, 1, 2), (1, 2), (0, 1, 2)]


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_server_that_stopped_goes_on_with_the_same_numbers(tmp_path, done):
    whole = run(SETTINGS, clients())
    server.save(run(SETTINGS, clients(), until=done), tmp_path / "server.npz")
    state = server.load(SETTINGS, tmp_path / "server.npz")
    assert state.round == done
    again = run(SETTINGS, clients(), state=state)
    for ours, theirs in zip(again.layers, whole.layers, strict=True):
        assert_allclose(ours, theirs, rtol=0)


def test_other_files_are_refused_by_name(tmp_path):
    with pytest.raises(FileNotFoundError):
        server.load(SETTINGS, tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no arrays")
    with pytest.raises(UsageError, match=r"text\.npz"):
        server.load(SETTINGS, tmp_path / "text.npz")
    with pytest.raises(EmtdampError, match="cannot be read: Is a directory"):
        server.load(SETTINGS, tmp_path)
    good = dict(np.load(server.save(begun(), tmp_path / "good.npz")))
    for other in [
        {"round": 3},
        good | {"noise": "much"},
        good | {"settings": "none"},
        good | {"moved.0": good["moved.0"][1:]},
        good | {"mean.1": good["mean.1"] * np.nan},
    ]:
        np.savez(tmp_path / "other.npz", **other)
        with pytest.raises(UsageError, match=r"other\.npz is no file that server\.save wrote"):
            server.load(SETTINGS, tmp_path / "other.npz")


@pytest.mark.parametrize(
    ("other", "was"),
    [
        ({"hidden": (16,)}, r"hidden=\[8\]"),
        ({"outputs": 2, "seed": 5}, "outputs=3, seed=0"),
        ({"rule": "plain"}, "rule=counted"),
    ],
)
def test_a_state_of_another_federation_is_refused(tmp_path, other, was):
    path = server.save(begun(), tmp_path / "server.npz")
    with pytest.raises(UsageError, match=rf"server\.npz is of a federation with {was}; give"):
        server.load(replace(SETTINGS, **other), path)


def test_clients_refuse_rows_that_are_none():
    x, y = rows()
    with pytest.raises(UsageError, match="not finite"):
        Client(SETTINGS, 0, np.where(x > 2, np.nan, x), y)
    with pytest.raises(UsageError, match="classes 0 to 2"):
        Client(SETTINGS, 0, x, y + 1)
    with pytest.raises(UsageError, match="give x"):
        Client(SETTINGS, 0, x, y[:5])


def test_a_federation_needs_rows_of_one_kind():
    x, y = rows()
    with pytest.raises(UsageError, match="no client has a row"):
        server.begin(SETTINGS, [Client(SETTINGS, 0, x[:0], y[:0]).summary()])
    with pytest.raises(UsageError, match="sums of client 1 are not finite"):
        sums = [client.summary() for client in clients()]
        sums[1]["x_mean"][0] = np.nan
        server.begin(SETTINGS, sums)
    with pytest.raises(UsageError, match="3, 4 columns"):
        parts = [Client(SETTINGS, 0, x, y), Client(SETTINGS, 1, x[:, :3], y)]
        server.begin(SETTINGS, [client.summary() for client in parts])
    with pytest.raises(UsageError, match="has no column"):
        Client(SETTINGS, 0, x[:, :0], y)


@pytest.mark.parametrize("numbers", [[1, 2], [0, 0], [-1, 0]])
def test_clients_are_numbered_from_0_once_each(numbers):
    """One of another number is taken for somebody else, or for nobody."""
    made = [Client(SETTINGS, number, *rows()) for number in numbers]
    with pytest.raises(UsageError, match=rf"clients are {re.escape(str(numbers))}; number them"):
        run(SETTINGS, made)


@pytest.mark.parametrize("until", [-1, 4])
def test_a_federation_has_no_more_rounds_than_its_settings(until):
    with pytest.raises(UsageError, match=f"until={until}; give a number of rounds from 0 to 3"):
        run(SETTINGS, clients(), until=until)


def test_a_client_of_many_rows_is_believed():
    """Its sum of weights, a float32 sum of 1,001 minibatches, is 100,001.52 and not 100,001; and
    its precision is 1,080 times that of the start, which says nothing of rows."""
    x, y = rows(100_001)
    settings = replace(SETTINGS, batch_size=100)
    made = [Client(settings, 0, x, y)]
    heard = []
    run(settings, made, lambda _, info: heard.append((info.heard, info.refused)), until=1)
    assert heard == [((0,), {})]


def test_minibatches_of_more_rows_than_there_are_cost_no_more():
    settings = replace(SETTINGS, batch_size=10**9)
    assert run(settings, clients(settings=settings), until=1).round == 1


def test_float16_does_not_overflow():
    weights = wire.Weights(np.array([[1e-9, 3.0]]), np.array([[1e12, 0.0]]))
    (found,) = wire.unpack(wire.pack([weights], half=True))
    assert_allclose(found.curvature, [[1e12, 0.0]], rtol=0.02, atol=1e-29)
