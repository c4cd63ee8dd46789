"""Dense networks: watching the training changes nothing."""

import keras
import numpy as np
from numpy.testing import assert_array_equal

from emtdamp.baselines.mlp_keras import DenseSettings, train_dense


def test_a_callback_sees_every_epoch_and_leaves_the_training_as_it_is():
    rng = np.random.default_rng(0)
    images, labels = rng.random((60, 5), dtype="float32"), np.arange(60) % 3
    settings = DenseSettings(hidden=4, epochs=3, batch_size=20, seed=1)
    seen = []

    def watch(epoch, logs):
        seen.append(callback.model(images).numpy())

    callback = keras.callbacks.LambdaCallback(on_epoch_end=watch)
    watched = train_dense(settings, images, labels, [callback])
    assert len(seen) == 3
    assert_array_equal(seen[-1], watched(images).numpy())
    assert_array_equal(seen[-1], train_dense(settings, images, labels)(images).numpy())
