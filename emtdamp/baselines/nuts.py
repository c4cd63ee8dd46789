"""The posterior of a 1-8-1 ReLU network on 20 points by NUTS, as a table on a grid.

    python -m emtdamp.baselines.nuts

writes nuts.csv beside this file in about two minutes: mean and sd of the noiseless function f(x),
their R-hat and effective sample size (of f, since the weights are not identified: neurons can be
permuted and rescaled). Model: f(x) = relu(x w1 + b1) w2 + b2, all weights and biases of layer l
~ N(0, SLAB[l]), y = f(x) + N(0, NOISE). Other posteriors are compared with the table, so it is
made once.
"""

import csv
from pathlib import Path

import numpy as np

TABLE = Path(__file__).with_suffix(".csv")
HIDDEN = 8
SLAB = (1.0, 0.5)
NOISE = 0.04
GRID = np.linspace(-2.5, 2.5, 41)


def problem() -> tuple[np.ndarray, np.ndarray]:
    """The 20 points: x (20, 1) on [-2, 2] with a gap, y (20, 1)."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-2, -0.5, 10), rng.uniform(0.5, 2, 10)])[:, None]
    return x, np.sin(2 * x) + 0.3 * x + np.sqrt(NOISE) * rng.normal(size=x.shape)


def table() -> dict[str, np.ndarray]:
    """The columns of nuts.csv: x, mean, sd, rhat, ess."""
    with TABLE.open() as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def sample(chains: int = 16, warm_up: int = 2000, draws: int = 5000, seed: int = 0) -> np.ndarray:
    """f on the grid, (draws, chains, 41), from NUTS chains started at independent prior draws."""
    import tensorflow as tf
    import tensorflow_probability as tfp

    x, y = (tf.constant(a) for a in problem())

    def function(theta: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
        """theta (chains, 25) standard normal a priori, at (n,): f, (chains, n)."""
        w1, b1, w2, b2 = tf.split(theta, [HIDDEN, HIDDEN, HIDDEN, 1], axis=-1)
        hidden = tf.nn.relu(at[:, None] * w1[:, None, :] + b1[:, None, :]) * SLAB[0] ** 0.5
        return SLAB[1] ** 0.5 * (tf.einsum("cnh,ch->cn", hidden, w2) + b2)

    def log_posterior(theta: tf.Tensor) -> tf.Tensor:
        residual = y[:, 0] - function(theta, x[:, 0])
        return -0.5 * (tf.reduce_sum(residual**2, -1) / NOISE + tf.reduce_sum(theta**2, -1))

    @tf.function(autograph=False, jit_compile=True)
    def run():
        kernel = tfp.mcmc.DualAveragingStepSizeAdaptation(
            tfp.mcmc.NoUTurnSampler(log_posterior, step_size=tf.constant(0.05, tf.float64)),
            num_adaptation_steps=int(0.8 * warm_up),
            target_accept_prob=0.9,
        )
        start = tf.random.stateless_normal([chains, 3 * HIDDEN + 1], [seed, 1], dtype=tf.float64)
        return tfp.mcmc.sample_chain(
            draws,
            start,
            kernel=kernel,
            num_burnin_steps=warm_up,
            trace_fn=lambda _, results: results.inner_results.has_divergence,
            seed=[seed, 2],
        )

    theta, divergent = run()
    print(f"{int(tf.reduce_sum(tf.cast(divergent, tf.int32)))} divergent of {divergent.shape}")
    flat = tf.reshape(theta, [-1, theta.shape[-1]])
    values = function(flat, tf.constant(GRID))
    return tf.reshape(values, [draws, chains, len(GRID)]).numpy()


def main() -> None:
    import tensorflow_probability as tfp

    values = sample()
    rhat = tfp.mcmc.potential_scale_reduction(values, independent_chain_ndims=1, split_chains=True)
    ess = tfp.mcmc.effective_sample_size(values, cross_chain_dims=1)
    print(f"largest R-hat {np.max(rhat):.4f}, smallest effective sample size {np.min(ess):.0f}")
    columns = [GRID, values.mean((0, 1)), values.std((0, 1)), rhat.numpy(), ess.numpy()]
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["x", "mean", "sd", "rhat", "ess"])
        writer.writerows([f"{v:.6g}" for v in row] for row in zip(*columns, strict=True))


if __name__ == "__main__":
    main()
