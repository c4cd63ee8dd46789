"""What the estimators' parameters are: the text both docstrings share, and the paper's values."""

# Parameters of the paper's algorithm. Its window, the start of its slab and its T are not known to
# us: the window is the best of 2, 4 and 8 on held-out images of MNIST, the others are as elsewhere.
PAPER = {
    "update": "window",
    "window": 2.0,
    "sparsity": "auto",
    "soft": True,
    "slab": "learn",
    "noise": "learn",
}
PARAMETERS = """

    The posterior is cold: with hidden layers it counts each row c >= 1 times, by the rule of
    `recipes.row_counts`, because the variances of single weights overstate what is not known.
    The rule was fitted to held-out images (regressions take 2.5 times as much, fitted to held-out
    rows); counted once, predictions are too wide and less good (the book's page on the loop has
    how much, and where). It is no posterior by Bayes' rule. What a prediction says of its doubt is
    set right on small data, 30 to 1,999 rows, by one factor on the variance of the network's
    output (`Posterior.inflation`): a second fit, without a fifth of the rows, finds the one that
    makes these most probable. Copies of a row
    are held out together, where there are 30 distinct rows and it cannot be chance that they agree;
    near copies are not known as such, and make it trust too much.

    Inputs are centred and divided by the larger of their standard deviation and a share of their
    range, {share}, so that a rare pixel does not explode; constant ones are ignored.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default (100,)
        Neurons of each hidden layer, 1 or more; () is the linear model.
    activation : "relu", "tanh" or "identity", default "relu"
        The nonlinearity of the hidden layers.
    sparsity : float in [0, 1), "auto", or a sequence of these, default 0.0
        Fraction of the neurons of each hidden layer to prune: exactly round(n (1 - sparsity)) stay,
        one at least. "auto" leaves the number to EM. A sequence has one value for each hidden
        layer, as (0.5, "auto").
    input_sparsity : float in [0, 1) or "auto", default 0.0
        The same for the inputs that are not constant.
    em_iters : int or "auto", default "auto"
        EM iterations, each a pass over the data; "auto" sees 100,000 rows, within 10 to 300
        iterations and with 100 minibatches at least.
    update : "decoupled" or "window", default "decoupled"
        Ours, with step size apart from precision, momentum and a clip; or the paper's
        posterior-as-prior with a forgetting window.
    window : float above 0, default 4.0
        Passes over the data that the window form remembers; in the last 30 % of the fit it forgets
        nothing.
    batch_size : int or "auto", default "auto"
        Rows of a minibatch; "auto" is all up to 100 rows, 50 below 5,000, then 100.
    slab : float above 0, "auto" or "learn", default "auto"
        Prior variance of an active weight times the fan-in of its layer. "auto" is 30, and 1 where
        EM decides how many groups stay: the wider the slab, the more a group must explain to be
        active at all (Lindley's paradox). Of up to 20 classes, from 30 to 1,999 rows and where
        `inflation` is "auto", it is the one of 30, 3 and 1 under which held-out rows are most
        probable. "learn" starts at 30 or 1 and goes
        on by EM, a layer each; the last layer's is held, since only its ratio to the noise matters.
    noise : float above 0, "auto" or "learn", default "auto"
        Variance of the output noise in units of y squared; "auto" and "learn" learn it by EM, in
        networks down to a ten-thousandth of the variance of y. For classes it is the probit's v,
        and "auto" is 1.
    inflation : float above 0 or "auto", default "auto"
        Factor on the variance of the network's output in predictions. "auto" finds it on held-out
        rows below 2,000 rows, which takes a second fit (of classes one for each slab that may be);
        from there on it is 1 for classes and undoes the counting of rows for regressions. A number
        leaves out these fits. The linear model has none.
    inner_iters : int, default 1
        T, passes of messages over a minibatch; above 1 only with "window".
    damping : float in [0, 1) or "auto", default "auto"
        Share of the old mean in these passes; "auto" is 0, .5, .7 for T = 1, 2, 3.
    soft : bool, default False
        Where the number of groups is given, their activities act on the weights as they are,
        between 0 and 1, as the paper's do; if not, those that stay are certain to.
    share_incoming : bool, default False
        A neuron's incoming weights decide with its outgoing ones whether it stays.
    early_stopping : bool, default False
        Hold out `validation_fraction` of the rows, keep the iterate with the highest log predictive
        density there, stop after `n_iter_no_change` iterations without a higher one.
    validation_fraction : float in (0, 1), default 0.1
        Of the rows, for `early_stopping`.
    n_iter_no_change : int, default 5
        Iterations, for `early_stopping`.
    warm_start : bool, default False
        `fit` starts from the posterior of the fit before, and keeps the scales of X and y, which
        are the units of its weights, rates and slabs that EM has learnt, and what was chosen on
        held-out rows; after `early_stopping` from the last iterate, not the best. Columns, classes,
        activation and hidden layers must be the same. The linear regression starts anew.
    random_state : int, RandomState or None, default None
        Of the starting means, the order of rows and the rows held out.
    verbose : bool, default False
        Print a line an EM iteration.

    Attributes
    ----------
    posterior_ : Posterior
        Means, variances and activity of the groups; it takes X as `fit` does.
    active_groups_ : tuple of boolean arrays
        Which columns of X, and which neurons of each hidden layer, are left.
    log_partition_ : float
        log Z a row, before it was learnt, mean of the last EM iteration; {log_z}.
    slab_ : float
        The slab in use; where it is learnt, its start.
    noise_variance_ : float or array
        The output noise's variance, in units of y squared (the probit's v).
    history_ : list of dict
        One an EM iteration: log_partition, noise, active groups, seconds (below 2,000 rows an
        equal part of those of up to 25 iterations).
    n_iter_ : int
        EM iterations done.
"""
