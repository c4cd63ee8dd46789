"""Module B against quadrature, finite differences and enumeration of all activity patterns."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit

from emtdamp.errors import UsageError
from emtdamp.estimators import linear
from emtdamp.messages import prior
from emtdamp.messages.gaussian import Gaussian
from emtdamp.messages.prior import GroupPrior
from tests.exact import Exact, spike_slab_messages, spike_slab_regression


def random_layer(seed, inputs=8, outputs=3, strength=1.0):
    rng = np.random.default_rng(seed)
    precision = rng.gamma(2.0, 1.0, (inputs + 1, outputs))
    return Gaussian(precision, strength * rng.normal(size=precision.shape) * np.sqrt(precision))


def logit(p):
    return float(np.log(p) - np.log1p(-p))


def scalars(*values):
    return (tf.constant(value, tf.float64) for value in values)


def log_partition(precision, shift, slab, rho):
    """One group of one weight: log(1 - rho + rho exp(LLR))."""
    return np.logaddexp(np.log1p(-rho), np.log(rho) + prior.weight_llr(precision, shift, slab))


@pytest.mark.parametrize("precision", [0.0, 0.3, 5.0])
@pytest.mark.parametrize("shift", [-3.0, 0.2, 4.0])
def test_moments_are_derivatives_of_the_log_partition(precision, shift):
    rho, step = 0.3, 1e-3
    precision, shift, slab = scalars(precision, shift, 0.7)
    odds = prior.weight_llr(precision, shift, slab) + logit(rho)
    mean, var = prior.moments(precision, shift, slab, odds)
    at = [log_partition(precision, shift + k * step, slab, rho) for k in range(-2, 3)]
    first = (at[0] - 8 * at[1] + 8 * at[3] - at[4]) / (12 * step)
    second = (-at[0] + 16 * at[1] - 30 * at[2] + 16 * at[3] - at[4]) / (12 * step**2)
    np.testing.assert_allclose(mean, first, rtol=1e-8)
    np.testing.assert_allclose(var, second, rtol=1e-6)


@pytest.mark.parametrize("precision, shift, slab", [(0.3, -3.0, 0.7), (40.0, 9.0, 2.0)])
def test_moments_equal_quadrature(precision, shift, slab):
    rho = 0.3
    w = np.linspace(-20, 20, 200_001)
    density = np.exp(-(w**2) / (2 * slab)) / np.sqrt(2 * np.pi * slab)
    density *= rho * np.exp(-precision * w**2 / 2 + shift * w) * (w[1] - w[0])
    total = density.sum() + 1 - rho  # the spike has w = 0, where the message is 1
    mean = (density * w).sum() / total
    second = (density * w**2).sum() / total
    precision, shift, slab = scalars(precision, shift, slab)
    odds = prior.weight_llr(precision, shift, slab) + logit(rho)
    np.testing.assert_allclose(
        prior.moments(precision, shift, slab, odds), [mean, second - mean**2], rtol=1e-9
    )


@pytest.mark.parametrize("seed", range(5))
def test_spmp_equals_enumeration_of_eight_groups(seed):
    messages = random_layer(seed, strength=[0.5, 1, 2, 4, 8][seed])
    slab, rho = 0.6, 0.35
    module = GroupPrior(("free",))
    _, back, info = module.step(module.init([slab], [8], rho), [Gaussian(*messages)], [8])
    exact = spike_slab_messages(*messages, slab, logit(rho))
    np.testing.assert_allclose(expit(info.log_odds[0]), exact.activity, atol=1e-13)
    np.testing.assert_allclose(info.log_evidence, exact.log_evidence, rtol=1e-13)
    mean, var = prior.moments(*messages, slab, info.weight_log_odds[0])
    np.testing.assert_allclose(mean, exact.mean, atol=1e-13)
    np.testing.assert_allclose(var, exact.var, atol=1e-12)
    # and the extrinsic message, times the one that came, has those moments where it is not clipped
    precision = messages.precision + back[0].precision
    np.testing.assert_allclose((messages.shift + back[0].shift) / precision, mean, atol=1e-12)
    inside = np.abs(np.log(back[0].precision * slab / np.sqrt(1e5))) < np.log(10**5.5) - 1e-6
    assert inside.any()
    np.testing.assert_allclose((1 / precision)[inside], var.numpy()[inside], rtol=1e-9)


@pytest.mark.parametrize("outputs", [1, 3])
def test_turbo_fixed_point_equals_enumeration_on_an_orthogonal_design(outputs):
    exact, module, state, message, _ = orthogonal_problem(outputs=outputs)
    back = Gaussian(tf.ones_like(message.precision) / 2.0, tf.zeros_like(message.shift))
    for _ in range(3):
        # module A of a linear layer whose inputs are orthogonal: exact Gaussian conditioning on
        # the whole posterior, then module B's message divided out again
        precision = message.precision + back.precision
        mean = (message.shift + back.shift) / precision
        sent = Gaussian(precision - back.precision, mean * precision - back.shift)
        _, (back,), info = module.step(state, [sent], [8])
    np.testing.assert_allclose(expit(info.log_odds[0]), exact.activity, atol=1e-12)
    mean = (message.shift + back.shift) / (message.precision + back.precision)
    np.testing.assert_allclose(mean, exact.mean, atol=1e-10)
    _, var = prior.moments(*sent, state.slab[0], info.weight_log_odds[0])
    np.testing.assert_allclose(var, exact.var, atol=1e-10)


def orthogonal_problem(outputs=2, seed=3, slab=0.8, rho=0.4, noise=1.5):
    """16 samples of 8 orthogonal inputs (and the bias): the likelihood factorises over weights."""
    rng = np.random.default_rng(seed)
    basis = np.array([[1.0]])
    for _ in range(4):
        basis = np.block([[basis, basis], [basis, -basis]])
    x = basis[:, 1:9]  # column 0 is the bias
    weights = rng.normal(size=(8, outputs)) * (rng.random((8, 1)) < 0.5)
    y = x @ weights + 0.3 + np.sqrt(noise) * rng.normal(size=(16, outputs))
    design = np.concatenate([x, np.ones((16, 1))], 1)
    message = Gaussian(
        tf.constant(np.full((9, outputs), 16.0 / noise)), tf.constant(design.T @ y / noise)
    )
    exact: Exact = spike_slab_regression(x, y, noise, slab, logit(rho))
    module = GroupPrior(("free",))
    return exact, module, module.init([slab], [8], rho), message, (x, y, noise)


def test_em_never_lowers_the_exact_evidence():
    _, _, _, message, (x, y, noise) = orthogonal_problem()
    module = GroupPrior(("free", "dense"), hyper=(1.5, 2.5))
    nothing = Gaussian(tf.zeros([3, 1], tf.float64), tf.zeros([3, 1], tf.float64))
    state = module.init([0.05, 1.0], [8, 2], rho=0.9)
    objective = []
    for _ in range(60):
        odds, slab = float(state.logit_rho[0]), float(state.slab[0])
        hyper = 0.5 * np.log(expit(odds)) + 1.5 * np.log(expit(-odds))
        objective.append(spike_slab_regression(x, y, noise, slab, odds).log_evidence + hyper)
        state, _, _ = module.step(state, [message, nothing], [8, 2])
    assert np.diff(objective).min() > -1e-10
    assert objective[-1] - objective[0] > 1.0 and np.diff(objective)[-1] < 1e-3
    assert float(state.slab[1]) == 1.0  # the output layer's is held


@pytest.mark.parametrize("keep", [2, 5])
def test_soft_exchange_is_exact_at_the_steered_rho(keep):
    _, _, state, message, (x, y, noise) = orthogonal_problem(noise=6.0)
    _, (back,), info = GroupPrior(("soft",), learn_slab=False).step(state, [message], [keep])
    odds = info.log_odds[0].numpy()
    exact = spike_slab_regression(x, y, noise, 0.8, float((odds - info.llr[0])[0]))
    np.testing.assert_allclose(expit(odds), exact.activity, atol=1e-12)
    assert (exact.activity > 0.5).sum() == keep
    assert ((exact.activity > 0.01) & (exact.activity < 0.99)).any()  # where hard ones differ
    mean = (message.shift + back.shift) / (message.precision + back.precision)
    np.testing.assert_allclose(mean, exact.mean, atol=1e-10)
    hard = GroupPrior(("steered",), learn_slab=False).step(state, [message], [keep])[1][0]
    rounded = (message.shift + hard.shift) / (message.precision + hard.precision)
    assert np.abs(rounded - exact.mean).max() > 0.01


def test_per_group_update_runs_to_zero_or_one():
    messages = random_layer(1)
    module = GroupPrior(("per-group",), learn_slab=False)
    state = module.init([0.6], [8], rho=0.3)
    evidence = []
    for _ in range(400):
        state, _, info = module.step(state, [Gaussian(*messages)], [8])
        evidence.append(float(info.log_evidence))
    # log-odds grow by LLR_i a step, so the sign of LLR_i decides and nothing else
    np.testing.assert_allclose(state.logit_rho[0], logit(0.3) + 400 * info.llr[0], rtol=1e-10)
    np.testing.assert_allclose(expit(state.logit_rho[0]), info.llr[0] > 0, atol=1e-6)
    assert np.diff(evidence).min() > -1e-12
    np.testing.assert_allclose(
        evidence[-1], np.maximum(info.llr[0], 0).sum() + info_bias(messages, 0.6), atol=1e-6
    )


def info_bias(messages, slab):
    return prior.weight_llr(*(part[-1] for part in messages), slab).numpy().sum()


def test_relevance_ranks_groups_by_evidence_under_a_slab_of_their_own():
    """Against numerical maximisation, for groups within each of which the precision is one."""
    rng = np.random.default_rng(7)
    precision = 10.0 ** rng.uniform(-2, 6, (40, 1)) * np.ones((1, 12))
    shift = rng.normal(size=(40, 12)) * np.sqrt(precision) * rng.uniform(0.5, 5, (40, 1))
    grid = np.logspace(-14, 14, 3000)[:, None]
    largest = []
    for one, push in zip(precision, shift, strict=True):
        largest.append(prior.weight_llr(one, push, grid).numpy().sum(1).max())
    t = (shift**2 / precision).mean(1)
    np.testing.assert_allclose(largest, np.where(t > 1, 6 * (t - 1 - np.log(t)), 0), atol=2e-2)
    score = np.sum(prior.relevance(precision, shift, 1e12), axis=1)
    np.testing.assert_allclose(score, 6 * t, rtol=1e-9)
    order = np.argsort(score)
    assert (np.diff(np.array(largest)[order]) > -1e-6).all() and (t > 1).sum() > 20
    # under one slab for all, as wide as the widest weights, the order is another
    common = np.sum(prior.weight_llr(precision, shift, 1e2), axis=1)
    assert (np.argsort(common)[-20:] != order[-20:]).any()


def test_inputs_that_matter_outrank_those_of_which_data_say_nothing():
    """A linear model: four inputs of wide range and small weights, four that hardly vary."""
    rng = np.random.default_rng(5)
    scale = np.repeat([10.0, 0.01], 4)
    x = rng.normal(size=(400, 8)) * scale
    x -= x.mean(0)
    w = np.array([[0.015], [-0.015], [0.015], [-0.015], [0], [0], [0], [0]])
    y = x @ w + rng.normal(size=(400, 1))
    y -= y.mean()
    message = Gaussian(
        tf.constant(np.append((x**2).sum(0), 400.0)[:, None]),
        tf.constant(np.append(x.T @ y, [[0.0]], 0)),
    )
    llr = prior.weight_llr(*message, tf.constant(1.0, tf.float64)).numpy()[:8, 0]
    assert llr[:4].max() < llr[4:].min()  # the Occam term
    module = GroupPrior(("steered",))
    _, _, info = module.step(module.init([1.0], [8]), [message], [4])
    assert (info.log_odds[0].numpy() > 0).tolist() == 4 * [True] + 4 * [False]
    odds = linear._select(x.T @ x, x.T @ y, 1.0, 1.0, "steered", 4)  # the inputs' joint posterior
    assert (odds > 0).tolist() == 4 * [True] + 4 * [False]


@pytest.mark.parametrize("keep", [1, 3, 7, 8])
def test_steering_leaves_exactly_the_target(keep):
    llr = tf.constant([5.0, -1e4, 3.0, 1e4, 3.0 + 1e-12, -2.0, 0.0, 900.0], tf.float64)
    rho, odds = prior.steered_rho(llr, tf.fill([8], True), keep)
    assert int(tf.reduce_sum(tf.cast(odds > 0, tf.int32))) == keep
    assert set(np.argsort(-llr)[:keep]) == set(np.flatnonzero(odds > 0))
    assert np.isinf(rho) == (keep == 8)


def test_steering_breaks_ties_by_index_and_leaves_out_what_has_no_evidence():
    llr = tf.zeros([6], tf.float64)
    _, odds = prior.steered_rho(llr, tf.fill([6], True), 2)
    assert (odds.numpy() > 0).tolist() == [True, True] + 4 * [False]
    seen = tf.constant([False, True, True, False, True, True])
    _, odds = prior.steered_rho(llr, seen, 3)
    assert (odds.numpy() > 0).tolist() == [False, True, True, False, True, False]
    _, odds = prior.steered_rho(llr, seen, 6)  # asks for more than there are
    assert (odds.numpy() > 0).tolist() == seen.numpy().tolist()


def test_groups_without_evidence_are_inactive_and_do_not_count():
    messages = random_layer(2, strength=3.0)
    silent = [0, 5]
    for part in messages:
        part[silent] = 0.0
    for rules in (("steered",), ("soft",), ("free",), ("per-group",)):
        module = GroupPrior(rules)
        state, back, info = module.step(module.init([0.6], [8]), [Gaussian(*messages)], [7])
        assert (info.log_odds[0].numpy()[silent] == -np.inf).all()
        assert (back[0].precision.numpy()[silent] > 1e8).all()
        if rules == ("free",):
            live = np.delete(expit(info.log_odds[0]), silent)
            np.testing.assert_allclose(expit(state.logit_rho[0]), (live.sum() + 1) / 8, rtol=1e-12)
    module = GroupPrior(("dense",))  # an unpruned layer keeps the prior there
    _, back, _ = module.step(module.init([0.6], [8]), [Gaussian(*messages)], [8])
    np.testing.assert_allclose(back[0].precision, 1 / 0.6)


def test_certain_groups_return_the_slab_and_the_spike():
    precision, shift = np.array([3.0, 3.0]), np.array([50.0, -50.0])
    slab = prior.extrinsic(precision, shift, 0.5, np.array(np.inf))
    np.testing.assert_array_equal(slab, [[2.0, 2.0], [0.0, 0.0]])
    spike = prior.extrinsic(precision, shift, 0.5, np.array(-np.inf))
    np.testing.assert_array_equal(spike.precision, [2e8, 2e8])
    mean = (shift + spike.shift) / (precision + spike.precision)
    np.testing.assert_allclose(mean, 0.0, atol=1e-15)
    nearly = prior.extrinsic(precision, shift, 0.5, np.array(-745.0))
    assert np.isfinite(nearly).all()


def test_extrinsic_does_not_cancel():
    """Against 60 digits, where 1/var - precision in float64 has lost everything."""
    for numbers in [(1e12, 3e6, 1e-3, 30.0), (2.0, 0.1, 4.0, 36.0)]:
        with localcontext(prec=60):
            precision, shift, slab, odds = (Decimal(number) for number in numbers)
            pi = 1 / (1 + (-odds).exp())
            var1 = 1 / (precision + 1 / slab)
            mean1 = shift * var1
            var = pi * (var1 + mean1**2) - (pi * mean1) ** 2
            want = [float(1 / var - precision), float(pi * mean1 / var - shift)]
        back = prior.extrinsic(*scalars(*numbers))
        np.testing.assert_allclose(back.precision, want[0], rtol=1e-9)
        np.testing.assert_allclose(back.shift, want[1], rtol=1e-9, atol=1e-15 * numbers[1])


@pytest.mark.parametrize("variance", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("slab", [1e-12, 1.0, 1e12])
def test_extremes_stay_finite(variance, slab):
    start = slab
    for odds in [-1e4, -745.0, 0.0, 745.0, 1e4]:
        slab, odds = scalars(start, odds)
        for size in [0.0, 1e-6, 1.0, 1e4]:  # mean of the message in its standard deviations
            message = Gaussian(
                tf.fill([3, 2], np.float64(1 / variance)),
                tf.fill([3, 2], np.float64(size / np.sqrt(variance))),
            )
            for value in (
                prior.weight_llr(*message, slab),
                *prior.moments(*message, slab, odds),
                *prior.extrinsic(*message, slab, odds),
                prior.slab_step(*message, slab, tf.fill([3, 1], odds)),
            ):
                assert np.isfinite(value).all(), (odds, size, value)
            assert (prior.moments(*message, slab, odds)[1].numpy() >= 0).all()
            for rules in (("free",), ("steered",), ("soft",), ("per-group",)):
                module = GroupPrior(rules)
                _, back, info = module.step(module.init([start], [2]), [message], [1])
                assert np.isfinite(back).all() and np.isfinite(info.log_evidence)


def test_rescaled_weights_give_the_same_decisions():
    messages = random_layer(4)
    module, scale = GroupPrior(("free",)), 1e-3
    _, back, info = module.step(module.init([0.6], [8]), [Gaussian(*messages)], [8])
    other = Gaussian(messages.precision / scale**2, messages.shift / scale)
    _, back2, info2 = module.step(module.init([0.6 * scale**2], [8]), [other], [8])
    np.testing.assert_allclose(info2.log_odds[0], info.log_odds[0], rtol=1e-10)
    np.testing.assert_allclose(back2[0].precision * scale**2, back[0].precision, rtol=1e-9)


def test_compiled_step_equals_the_eager_one_and_keeps_the_dtype():
    messages = [
        Gaussian(*(tf.constant(p, tf.float32) for p in random_layer(5, 6, 4))),
        Gaussian(*(tf.constant(p, tf.float32) for p in random_layer(6, 4, 2))),
    ]
    for shared in (False, True):
        module = GroupPrior(("free", "steered"), share_incoming=shared)
        state = module.init([0.6, 0.9], [6, 4])
        compiled = tf.function(module.step, jit_compile=True)
        eager, fast = module.step(state, messages, [6, 2]), compiled(state, messages, [6, 2])
        assert eager[1][0].precision.dtype == fast[1][0].precision.dtype == tf.float32
        for one, two in zip(tf.nest.flatten(eager), tf.nest.flatten(fast), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7)
        assert int(tf.reduce_sum(tf.cast(fast[2].log_odds[1] > 0, tf.int32))) == 2


@pytest.mark.parametrize("shared", [False, True])
def test_a_dropped_group_comes_back_only_where_no_weights_are_shared(shared):
    module = GroupPrior(("dense", "steered"), share_incoming=shared)
    first = Gaussian(tf.ones([4, 3]), tf.zeros([4, 3]))
    strong = tf.constant([[3.0], [1.0], [2.0], [0.0]], tf.float64)
    state = module.init([1.0, 1.0], [3, 3])
    seen = []
    for shift in (strong, tf.gather(strong, [1, 0, 2, 3])):  # the first two change places
        second = Gaussian(tf.ones([4, 1], tf.float64), shift)
        state, _, info = module.step(state, [first, second], [3, 2])
        seen.append((info.log_odds[1].numpy() > 0).tolist())
    again = [True, False, True] if shared else [False, True, True]
    assert seen == [[True, False, True], again]


@pytest.mark.parametrize(
    "rules, settings, repeats",
    [
        (("dense", "steered"), {}, True),
        (("steered", "soft"), {}, True),
        (("free", "steered"), {}, False),
        (("dense", "per-group"), {}, False),
        (("dense", "steered"), {"learn_slab": True}, False),
        (("dense", "steered"), {"share_incoming": True}, False),
    ],
)
def test_a_second_step_on_the_same_messages_repeats_where_nothing_is_learnt(
    rules, settings, repeats
):
    module = GroupPrior(rules, **{"learn_slab": False, **settings})
    messages = [random_layer(5, 6, 4), random_layer(6, 4, 2)]
    state, *first = module.step(module.init([0.6, 0.9], [6, 4]), messages, [3, 2])
    _, *second = module.step(state, messages, [3, 2])
    pairs = zip(tf.nest.flatten(first), tf.nest.flatten(second), strict=True)
    assert module.repeats == repeats == all(np.array_equal(a, b) for a, b in pairs)


def test_ramp_ends_exactly_at_the_target():
    counts = [int(prior.ramp(128, 13, p)) for p in np.linspace(-0.1, 1.2, 40)]
    assert counts[0] == 128 and counts[-1] == 13
    assert (np.diff(counts) <= 0).all()


@pytest.mark.parametrize(
    "settings, text",
    [
        ({"rules": ("dense", "fre")}, "'fre' is not known; use one of dense, free"),
        ({"rules": ()}, "give one rule"),
        ({"rules": ("free",), "hyper": (1.0, 2.0)}, "give Beta parameters above 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, text):
    with pytest.raises(UsageError, match=text):
        GroupPrior(**settings)


@pytest.mark.parametrize(
    "arguments, text",
    [
        (([1.0, 1.0], [3]), "2 slabs and 1 group counts for 1 layers"),
        (([0.0], [3]), "slab 0.0 is not a variance"),
        (([1.0], [3], 1.0), "rho 1.0 is outside"),
    ],
)
def test_starting_values_that_cannot_work_are_refused(arguments, text):
    with pytest.raises(UsageError, match=text):
        GroupPrior(("free",)).init(*arguments)


def test_extrinsic_precision_is_negative_where_the_docstring_says():
    rng = np.random.default_rng(0)
    precision, slab = np.exp(rng.normal(0, 2, [2, 4000]))
    shift, odds = rng.normal(0, 5, 4000) * np.sqrt(precision), rng.normal(0, 3, 4000)
    arguments = [tf.constant(a) for a in (precision, shift, slab, odds)]
    exact = 1 / prior.moments(*arguments)[1].numpy() - precision
    on, off = 1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(odds))
    ratio = shift**2 / (precision + 1 / slab)
    negative = precision * off * (on * ratio - 1) > 1 / slab
    assert 400 < negative.sum() < 3600
    assert (negative & (on * ratio > 1)).sum() < (on * ratio > 1).sum()  # not that alone
    np.testing.assert_array_equal(exact < 0, negative)
    clipped = prior.extrinsic(*arguments).precision.numpy() * slab == prior.EXTRINSIC_RANGE[0]
    assert clipped[negative].all()
