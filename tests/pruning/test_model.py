"""PrunedModel: saving, interruption and resumption, missing callables."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_invprune as kip
from keras_invprune.saving import Missing

X = np.random.default_rng(0).uniform(size=(24, 8, 8, 1)).astype("float32")
Y = np.arange(24) % 3
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def pruned_model(seed=0, optimizer=None, **options):
    keras.utils.set_random_seed(seed)
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(16, name="hidden"),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Dropout(0.2, seed=3),
            keras.layers.Dense(3, name="logits"),
        ]
    )
    model = kip.prune_for_invariance(
        network, 0.5, views=kip.views.RandomShift(0.2, seed=5), **options
    )
    # Momentum is a state, too, and is traced in half the time of Adam's.
    optimizer = optimizer or keras.optimizers.SGD(0.1, 0.9)
    model.compile(optimizer, LOSS, metrics=["accuracy"], jit_compile=False)
    return model


def fit(model, epochs=4, **options):
    options = {"batch_size": 8, "shuffle": False, "verbose": 0, **options}
    return model.fit(X, Y, epochs=epochs, **options)


def assert_same_variables(found, expected):
    for one, other in zip(found.variables, expected.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)


@pytest.fixture(scope="module")
def whole():
    """A model after search and fine-tuning, and its logs; tests only read them."""
    model = pruned_model(optimizer="adam")
    return model, fit(model).history


def test_the_same_seed_gives_the_same_masks_and_weights(whole):
    again = pruned_model(optimizer="adam")
    fit(again)
    assert_same_variables(again, whole[0])


@pytest.mark.parametrize("interrupted_after", [1, 3])  # in the search; after it
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(
    tmp_path, whole, interrupted_after
):
    part = pruned_model(optimizer="adam")

    class Interrupt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch + 1 == interrupted_after:
                raise KeyboardInterrupt

    backup = keras.callbacks.BackupAndRestore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fit(part, callbacks=[backup, Interrupt()])
    # A new process would have other weights.
    again = pruned_model(seed=9, optimizer="adam")
    fit(again, callbacks=[keras.callbacks.BackupAndRestore(tmp_path)])
    assert again.step == whole[0].step == 12
    assert_same_variables(again, whole[0])


def test_what_a_schedule_has_learned_goes_on_with_an_interrupted_training(tmp_path):
    def model():
        # Never a fall of 90 %: converged after two epochs, so pruned in the third.
        return pruned_model(
            schedule=kip.schedules.WhenConverged(
                0.5, "loss", patience=1, min_delta=0.9, at_latest=0.9
            )
        )

    def stop(epoch, logs):
        first.stop_training = epoch == 1

    assert fit(model(), epochs=4).history["sparsity"] == [0, 0, 0.5, 0.5]
    first = model()
    with pytest.warns(UserWarning, match="target"):
        fit(first, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=stop)])
    first.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.plan.schedule.state() == first.plan.schedule.state()
    assert fit(loaded, initial_epoch=2).history["sparsity"] == [0.5, 0.5]


def test_a_format_that_could_not_resume_is_refused(tmp_path):
    saving = keras.callbacks.ModelCheckpoint(tmp_path / "model.h5")
    for save in (
        lambda model: model.save(tmp_path / "model.h5"),
        lambda model: model.save(str(tmp_path / "model.hdf5")),
        lambda model: fit(model, callbacks=[saving]),
    ):
        with pytest.raises(ValueError, match="saved to a .keras file.*Received: "):
            save(pruned_model())
    assert list(tmp_path.iterdir()) == []


def test_exporting_it_leads_to_the_plain_model(tmp_path):
    with pytest.raises(ValueError, match=r"kip\.export\(kip\.strip_pruning\(model\)"):
        pruned_model().export(tmp_path / "files")


@pytest.mark.parametrize("epochs", [1, 3])  # in the search; fine-tuning
def test_saved_and_loaded_it_goes_on_identically(tmp_path, epochs):
    model = pruned_model(schedule=kip.schedules.OneShot(0.5, at=6))
    if epochs == 1:
        with pytest.warns(UserWarning, match="target"):
            fit(model, epochs=epochs)
    else:
        fit(model, epochs=epochs)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.finished == model.finished == (epochs == 3)
    for each in (model, loaded):
        fit(each, epochs=epochs + 2, initial_epoch=epochs)
    assert_same_variables(loaded, model)


def test_logs_of_both_phases(whole):
    _, history = whole
    assert len(history["invariance_loss"]) == len(history["supervised_loss"]) == 2
    assert len(history["loss"]) == len(history["accuracy"]) == 4
    np.testing.assert_allclose(
        history["loss"][:2],
        np.add(history["supervised_loss"], 0.3 * np.array(history["invariance_loss"])),
        rtol=1e-5,
    )


def test_validation_does_not_show_the_objectives_terms():
    history = fit(pruned_model(), validation_data=(X, Y)).history
    assert "val_accuracy" in history
    assert not {"val_invariance_loss", "val_supervised_loss"} & set(history)


def test_evaluate_and_predict_agree_with_the_stripped_model(whole):
    model, _ = whole
    final = kip.strip_pruning(model)
    final.compile(loss=LOSS, metrics=["accuracy"], jit_compile=False)
    np.testing.assert_allclose(
        model.evaluate(X, Y, verbose=0), final.evaluate(X, Y, verbose=0), rtol=1e-5
    )


def own_score(weights, model):
    return {key: -np.abs(w) for key, w in weights.items()}


def test_a_missing_callable_is_named_by_fit_only(tmp_path):
    model = pruned_model(score=own_score)
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.plan.score, Missing)
    np.testing.assert_allclose(
        loaded.predict(X, verbose=0), model.predict(X, verbose=0), rtol=1e-5
    )
    kip.strip_pruning(loaded, allow_unfinished=True)
    with pytest.raises(RuntimeError, match="plan.score=.*own_score"):
        fit(loaded)
    objects = {"own_score": own_score}
    found = keras.saving.load_model(tmp_path / "model.keras", custom_objects=objects)
    assert found.plan.score is own_score


def test_a_callable_that_takes_something_else_by_now_is_named_by_fit_only(tmp_path):
    model = pruned_model(score=own_score)
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    objects = {"own_score": lambda weights, model, power: weights}
    loaded = keras.saving.load_model(tmp_path / "model.keras", custom_objects=objects)
    loaded.predict(X, verbose=0)
    with pytest.raises(TypeError, match=r"takes \(weights, model, power\)"):
        fit(loaded)


def test_lambdas_are_missing_after_loading(tmp_path):
    model = pruned_model_with(kip.Invariance(lambda x: x))
    model.optimizer.build(model.trainable_variables)
    with pytest.warns(UserWarning, match="lambda"):  # Keras warns of saving one
        model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    with pytest.raises(RuntimeError, match="objective.views=a lambda.*register"):
        fit(loaded)


def test_a_checkpoint_of_another_model_changes_nothing(tmp_path):
    wide = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(17, name="hidden"),
            keras.layers.Dense(3, name="logits"),
        ]
    )
    schedule = kip.schedules.WhenConverged(0.5, monitor="loss", patience=1)
    wide = kip.prune_for_invariance(wide, 0.5, schedule=schedule)
    model = pruned_model(
        schedule=kip.schedules.WhenConverged(0.5, monitor="loss", patience=1)
    )
    wide.prune_to(0.5)
    schedule.converged_at = 7
    wide.save_weights(tmp_path / "wide.weights.h5")
    before, phase = [v.numpy() for v in model.variables], model.phase
    learned = model.plan.schedule.state()
    with pytest.raises(ValueError, match="wide.weights.h5.*another model"):
        model.load_weights(tmp_path / "wide.weights.h5")
    for value, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert model.phase == phase and model.finished_step is None
    assert model.plan.schedule.state() == learned


@pytest.mark.parametrize("rewind", [None, "first_epoch"])
def test_a_state_saved_with_something_to_rewind_to_obeys_the_plan(tmp_path, rewind):
    saved = pruned_model(schedule="manual")
    fit(saved, epochs=2)
    saved.save_weights(tmp_path / "saved.weights.h5")
    model = pruned_model(schedule="manual", rewind=rewind)
    model.optimizer.build(model.trainable_variables)
    model.load_weights(tmp_path / "saved.weights.h5")
    before = {key: v.numpy() for key, v in model.masked.prunable.items()}
    model.prune_to(0.5)
    for key, value in before.items():
        kept = model.masks[key].numpy() == 1
        same = model.masked.prunable[key].numpy()[kept] == value[kept]
        assert np.all(same) if rewind is None else not np.any(same)


def test_a_custom_loop_prunes_rewinds_and_fine_tunes():
    model = pruned_model()
    optimizer = model.optimizer
    pruning = kip.callbacks.PruningCallback()
    pruning.set_model(model)
    pruning.set_params({"epochs": 4, "steps": 3})
    searched = []

    @tf.function
    def step(x, y, searching):
        with tf.GradientTape() as tape:
            if searching:
                loss = model.search_loss(x, y).total
            else:
                loss = LOSS(y, model(x, training=True))
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    pruning.on_train_begin()
    for epoch in range(4):
        pruning.on_epoch_begin(epoch)
        for batch in range(3):
            pruning.on_train_batch_begin(batch)
            searched.append(model.searching)
            rows = slice(8 * batch, 8 * batch + 8)
            step(X[rows], tf.constant(Y[rows]), model.searching)
            model.count_step()
        pruning.on_epoch_end(epoch)
    pruning.on_train_end()
    assert searched == [True] * 6 + [False] * 6
    assert model.finished and model.sparsity == 0.5


def test_the_projection_head_is_trained_saved_and_dropped(tmp_path):
    objective = kip.Invariance(kip.views.RandomShift(0.2), projection=4)
    model = pruned_model_with(objective)
    objective = model.plan.objective
    before = [w.numpy() for w in objective.projection.weights]
    with pytest.warns(UserWarning, match="target"):
        fit(model, epochs=1)
    after = [w.numpy() for w in objective.projection.weights]
    assert not np.array_equal(before[0], after[0])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one, other in zip(loaded.plan.objective.projection.weights, after, strict=True):
        np.testing.assert_array_equal(one.numpy(), other)
    fit(model, epochs=3)
    final = kip.strip_pruning(model)
    assert len(final.weights) == len(model.inner.weights)


def pruned_model_with(objective):
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(16, name="hidden"),
            keras.layers.Dense(3, name="logits"),
        ]
    )
    schedule = kip.schedules.OneShot(0.5, at=4)
    model = kip.prune_for_invariance(
        network, 0.5, objective=objective, schedule=schedule
    )
    model.compile("adam", LOSS, jit_compile=False)
    return model


def test_rewinding_returns_to_the_rate_of_the_optimizer_that_was_compiled_last():
    model = pruned_model(schedule=kip.schedules.OneShot(0.5, at=8))
    for rate, epochs in ((0.1, 1), (0.001, 4)):
        optimizer = keras.optimizers.SGD(rate)
        model.compile(optimizer, LOSS, jit_compile=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the first ends before the target
            fit(model, epochs=epochs)
    assert model.finished
    assert float(model.optimizer.learning_rate) == pytest.approx(0.001)


def test_the_idiom_of_fine_tuning_with_a_later_first_epoch():
    model = pruned_model()
    history = fit(model, initial_epoch=5, epochs=9).history
    assert history["sparsity"] == [0.0, 0.0, 0.5, 0.5]


def test_a_projection_does_not_disturb_what_goes_on(tmp_path):
    class Save(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.save(tmp_path / f"{epoch + 1}.keras")

    views = kip.views.RandomShift(0.2, seed=5)
    whole = pruned_model_with(kip.Invariance(views, projection=4))
    fit(whole, callbacks=[Save()])
    for epoch in (1, 2, 3):
        part = keras.saving.load_model(tmp_path / f"{epoch}.keras")
        fit(part, initial_epoch=epoch)
        assert_same_variables(part.inner, whole.inner)


def test_a_gated_callback_counts_on_when_training_is_resumed(tmp_path):
    def rates(seen):
        def schedule(epoch, rate):
            seen.append(epoch)
            return 0.1 / (epoch + 1)

        return kip.callbacks.AfterPruning(
            keras.callbacks.LearningRateScheduler(schedule)
        )

    whole, expected, seen = pruned_model(), [], []

    class Save(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 5:
                self.model.save_weights(tmp_path / "part.weights.h5")

    fit(whole, epochs=8, callbacks=[Save(), rates(expected)])
    again = pruned_model()
    again.optimizer.build(again.trainable_variables)
    again.load_weights(tmp_path / "part.weights.h5")
    fit(again, epochs=8, initial_epoch=6, callbacks=[rates(seen)])
    assert expected == [0, 1, 2, 3] and seen == [2, 3]
    assert_same_variables(again.inner, whole.inner)


def test_sparse_tensors_are_trained_on():
    inputs = keras.Input((8,), sparse=True)
    hidden = keras.layers.Dense(6, name="hidden")(inputs)
    model = kip.prune(keras.Model(inputs, keras.layers.Dense(1)(hidden)), 0.5)
    model.compile("sgd", "mse", jit_compile=False)
    x = tf.sparse.from_dense(np.eye(8, dtype="float32"))
    rows = tf.data.Dataset.from_tensor_slices((x, np.ones((8, 1), "float32"))).batch(4)
    model.fit(rows, epochs=2, shuffle=False, verbose=0)
    assert model.finished and model.step == 4


def test_metrics_of_the_model_inside_are_its_own_or_counted():
    class Counts(keras.Model):
        """Counts what it is called with, by a metric of its own."""

        def __init__(self):
            super().__init__()
            self.dense, self.top = keras.layers.Dense(4), keras.layers.Dense(1)
            self.mean = keras.metrics.Mean(name="mean_input")

        def call(self, x):
            self.mean.update_state(x)
            return self.top(self.dense(x))

    x, y = np.full((8, 4), 3.0, "float32"), np.ones((8, 1), "float32")
    model = Counts()
    model(x)
    model.compile("sgd", "mse", metrics=["mae"])
    model.fit(x, y, verbose=0)
    pruned = kip.prune(model, 0.5, copy=False)
    pruned.compile("sgd", "mse")
    logs = pruned.fit(x, y, epochs=2, verbose=0).history
    assert logs.keys() == {"loss", "mean_input", "sparsity"}  # not the "mae" of before
    assert logs["mean_input"] == [3.0, 3.0]


def test_without_an_objective_there_is_neither_its_loss_nor_its_embedding():
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="only")])
    model = kip.prune(network, 0.5, select=["only"])
    with pytest.raises(TypeError, match="objective=None. Call `compute_loss`"):
        model.search_loss(np.ones((2, 4)), np.ones(2))
    with pytest.raises(ValueError, match="an embedding. Received: None"):
        model(np.ones((2, 4)), with_embedding=True)
