"""Distillation: its value, its teachers, what it combines with, and saving."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier

import keras_invprune as kip
from keras_invprune.objectives.distillation import divergence
from keras_invprune.objectives.teachers import gives_logits, log_probabilities
from keras_invprune.saving import Missing

G = np.random.default_rng(0)
X = G.normal(size=(32, 4)).astype("float32")
Y = np.arange(32) % 3
SPARSE = "sparse_categorical_crossentropy"


def network(activation="softmax", classes=3, width=8):
    head = layers.Dense(classes, activation, name="head")
    body = layers.Dense(width, "relu", name="body")
    return keras.Sequential([keras.Input((4,)), body, head])


def two_outputs():
    inputs = keras.Input((4,))
    return keras.Model(inputs, [layers.Dense(3)(inputs), layers.Dense(3)(inputs)])


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def reference(p, q, temperature):
    """KL of the softened probabilities for each row, in float64."""
    p, q = (softmax(np.log(np.float64(each)) / temperature) for each in (p, q))
    return (p * np.log(p / q)).sum(-1)


@functools.cache
def forest():
    return RandomForestClassifier(9, random_state=0).fit(X, Y)


def smooth(x):
    """A callable whose probabilities are never zero."""
    return 0.9 * forest().predict_proba(x) + 0.1 / 3


def pruned(objective, model=None, schedule="manual", loss=SPARSE, **options):
    keras.utils.set_random_seed(0)
    model = kip.prune(model or network(), 0.5, objective=objective, schedule=schedule)
    model.compile("sgd", loss, **options)
    return model


# The value


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_divergence_is_the_reference(temperature):
    p, q = softmax(G.normal(size=(2, 6, 5)))
    found = divergence(np.log(p), np.log(q), temperature)
    np.testing.assert_allclose(found, reference(p, q, temperature), 1e-4, 1e-6)
    np.testing.assert_allclose(
        divergence(np.log(p), np.log(p), temperature), 0, 0, 1e-6
    )


def test_the_divergence_of_maps_is_the_mean_over_their_positions():
    p, q = softmax(G.normal(size=(2, 6, 3, 4, 5)))
    expected = reference(p, q, 2.0).mean((1, 2))
    found = divergence(np.log(p), np.log(q), 2.0)
    np.testing.assert_allclose(found, expected, 1e-4, 1e-6)


def test_one_output_is_the_second_of_two_classes():
    z = G.normal(size=(5, 1))
    p = 1 / (1 + np.exp(-z))
    expected = np.log(np.concatenate([1 - p, p], -1))
    np.testing.assert_allclose(log_probabilities(z, True), expected, 1e-4, 1e-6)
    np.testing.assert_allclose(log_probabilities(p, False), expected, 1e-4, 1e-6)


@pytest.mark.parametrize("kind", ["keras", "logits", "numpy"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_is_the_average_of_both(kind, weighted):
    teacher = {
        "keras": network(width=5),
        "logits": network(None, width=5),
        "numpy": smooth,
    }[kind]
    objective = kip.Distillation(teacher, 0.3, 3.0)
    model = pruned(objective)
    weights = G.random(32).astype("float32") if weighted else None
    losses = model.search_loss(X, Y, weights)
    q = np.asarray(model(X))
    p = np.asarray(smooth(X) if kind == "numpy" else teacher(X))
    p = softmax(p) if kind == "logits" else p
    w = np.ones(32) if weights is None else weights
    distilled = 9 * (w * reference(p, q, 3.0)).mean()
    supervised = (w * -np.log(q[np.arange(32), Y])).mean()
    assert float(losses.terms["distillation_loss"]) == pytest.approx(
        distilled, rel=1e-4
    )
    assert float(losses.terms["supervised_loss"]) == pytest.approx(supervised, rel=1e-4)
    total = 0.7 * supervised + 0.3 * distilled
    assert float(losses.total) == pytest.approx(total, rel=1e-4)


def test_students_of_logits_and_of_probabilities_learn_the_same():
    teacher, found = network(width=5), []
    logits = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for activation, loss in (("softmax", SPARSE), (None, logits)):
        keras.utils.set_random_seed(1)
        model = pruned(kip.Distillation(teacher), network(activation), loss=loss)
        model.fit(X, Y, batch_size=16, shuffle=False, verbose=0)
        found.append(model.inner.get_weights()[0])
    np.testing.assert_allclose(*found, 1e-3, 1e-5)


@pytest.mark.parametrize(
    "make, expected",
    [
        (lambda: network(None), True),
        (lambda: network("softmax"), False),
        (lambda: network("sigmoid", 1), False),
        (lambda: keras.Sequential([network(None), layers.Softmax()]), False),
        (
            lambda: keras.Sequential([network(None), layers.Activation("softmax")]),
            False,
        ),
        (lambda: keras.Sequential([keras.Input((4,)), network(None)]), True),
        (lambda: keras.Sequential([network(), layers.Dropout(0.1)]), None),
        (lambda: network("log_softmax"), True),
        (lambda: keras.Sequential([network(), layers.Activation("linear")]), False),
        (lambda: keras.Sequential([network(None), layers.Activation("linear")]), True),
        # Activations that are not Keras's own may be a softmax.
        (lambda: network(tf.nn.softmax), None),
        (lambda: keras.Sequential([network(None), layers.Activation(ops.tanh)]), None),
        (lambda: network("hard_sigmoid", 1), None),
        (lambda: network("relu"), None),
        (two_outputs, None),
    ],
)
def test_whether_outputs_are_logits_is_told_from_the_last_layer(make, expected):
    model = make()
    model.build((None, 4))
    assert gives_logits(model) is expected


# Training


def test_a_search_distills_and_fine_tuning_does_not():
    model = pruned(kip.Distillation(network(width=5), 0.5), schedule="one_shot")
    before = model.plan.objective.teacher.get_weights()
    history = model.fit(X, Y, batch_size=16, epochs=4, verbose=0).history
    assert model.finished and not model.searching
    assert len(history["loss"]) == 4
    assert {"supervised_loss", "distillation_loss"} <= history.keys()
    for one, other in zip(
        model.plan.objective.teacher.get_weights(), before, strict=True
    ):
        np.testing.assert_array_equal(one, other)
    kip.strip_pruning(model)


def test_it_combines_with_invariance():
    def noise(x):
        return x + keras.random.normal(keras.ops.shape(x), stddev=0.1, seed=1)

    base = kip.Invariance((None, noise), weight=1.0, projection=3)
    model = pruned(kip.Distillation(network(width=5), base=base))
    history = model.fit(X, Y, batch_size=16, verbose=0).history
    parts = [history[f"{name}_loss"][0] for name in ("supervised", "invariance")]
    distilled = history["distillation_loss"][0]
    assert history["loss"][0] == pytest.approx(
        0.5 * sum(parts) + 0.5 * distilled, rel=1e-4
    )
    assert len(model.search_only) == 4  # the projection


def test_it_combines_with_a_callable():
    def base(model, x, y, sample_weight):
        predictions = model(x, training=True)
        return model.compute_loss(x, y, predictions, sample_weight, True), predictions

    model = pruned(kip.Distillation(smooth, base=base))
    assert model.plan.objective.terms == ("distillation_loss",)
    assert "distillation_loss" in model.fit(X, Y, verbose=0).history


def test_lengths_may_be_unknown():
    def make():
        body = layers.Conv2D(4, 3, activation="relu")
        head = layers.Conv2D(2, 1, activation="softmax")
        return keras.Sequential([keras.Input((None, None, 3)), body, head])

    images, labels = G.normal(size=(4, 5, 5, 3)), G.integers(0, 2, (4, 3, 3))
    for teacher in (make(), lambda x: np.full((len(x), 3, 3, 2), 0.5)):
        model = pruned(kip.Distillation(teacher), make())
        model.fit(images, labels, verbose=0)


def test_an_output_may_have_a_name():
    def make():
        inputs = keras.Input((4,))
        outputs = layers.Dense(3, "softmax", name="y")(layers.Dense(5)(inputs))
        return keras.Model(inputs, {"y": outputs})

    model = pruned(kip.Distillation(make()), make(), loss={"y": SPARSE})
    assert "distillation_loss" in model.fit(X, {"y": Y}, verbose=0).history


def test_binary_classes_of_one_output():
    def teacher(x):
        p = 1 / (1 + np.exp(-x[:, 0]))
        return np.stack([1 - p, p], -1)

    model = pruned(
        kip.Distillation(teacher, 1.0),
        network("sigmoid", 1),
        loss="binary_crossentropy",
    )
    q = np.asarray(model(X))[:, 0]
    expected = 4 * reference(teacher(X), np.stack([1 - q, q], -1), 2.0).mean()
    assert float(model.search_loss(X, Y % 2).total) == pytest.approx(expected, rel=1e-3)


def test_python_is_not_compiled_and_keras_is():
    with pytest.warns(UserWarning, match="doesn't support `jit_compile=True`"):
        model = pruned(kip.Distillation(smooth), jit_compile=True)
    assert not model.jit_compile
    model = pruned(kip.Distillation(network(width=5)), jit_compile=True)
    assert model.jit_compile
    model.fit(X, Y, batch_size=16, verbose=0)


@pytest.mark.parametrize("kind", ["keras", "numpy"])
def test_replicas_train_as_one_machine_does(strategy, kind):
    teacher = smooth if kind == "numpy" else network(width=5)

    def fit():
        model = pruned(kip.Distillation(teacher), jit_compile=False)
        history = model.fit(X, Y, batch_size=16, shuffle=False, verbose=0).history
        return [history["distillation_loss"][0], *model.inner.get_weights()]

    with strategy.scope():
        found = fit()
    for one, other in zip(found, fit(), strict=True):
        np.testing.assert_allclose(one, other, 1e-4, 1e-5)


def test_a_forest_teaches_a_network_the_classes_it_knows():
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    teacher = RandomForestClassifier(30, random_state=0).fit(x[:1000], y[:1000])
    student = keras.Sequential(
        [keras.Input((64,)), layers.Dense(16, "relu"), layers.Dense(10, "softmax")]
    )
    model = pruned(kip.Distillation(teacher.predict_proba, 1.0), student)
    model.compile(keras.optimizers.Adam(0.01), SPARSE, jit_compile=False)
    wrong = (y[:1000] + 1) % 10  # the weight 1 leaves the teacher alone
    model.fit(x[:1000], wrong, batch_size=50, epochs=2, verbose=0)
    assert (model.predict(x[1000:], verbose=0).argmax(1) == y[1000:]).mean() > 0.7


# Saving


def test_a_teacher_is_given_again_after_loading(tmp_path):
    teacher = network(width=5)
    model = pruned(kip.Distillation(teacher, 0.3, 3.0, from_logits=False))
    expected = float(model.search_loss(X, Y).total)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(again.plan.objective.teacher, Missing)
    message = f"teacher={teacher.name}, .* set `model.plan.objective.teacher = ...`"
    with pytest.raises(RuntimeError, match=message):
        again.fit(X, Y, verbose=0)
    again.plan.objective.teacher = teacher
    assert float(again.search_loss(X, Y).total) == pytest.approx(expected, rel=1e-5)
    again.fit(X, Y, verbose=0)


class OfLogits(keras.Model):
    """A teacher of which nobody can tell what it returns."""

    def __init__(self):
        super().__init__()
        self.head = layers.Dense(3)

    def call(self, x):
        return self.head(x)


def test_a_teacher_that_is_given_after_loading_is_checked(tmp_path):
    model = pruned(kip.Distillation(network(width=5)))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    teacher = again.plan.objective.teacher = OfLogits()
    teacher(X)
    with pytest.raises(ValueError, match="must be clear whether a teacher"):
        again.search_loss(X, Y)
    again.plan.objective.teacher = lambda x: ops.softmax(teacher(x))
    again.jit_compile = True  # as if saved with a teacher that XLA compiles
    again.fit(X, Y, verbose=0)
    assert not again.jit_compile


def test_a_part_of_the_base_that_is_missing_is_named_by_its_place(tmp_path):
    def moved(x):
        return x + 1.0

    base = kip.Invariance((None, moved), projection=3)
    pruned(kip.Distillation(certain, base=base)).save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    message = r"or set `model.plan.objective.base.views = ...` before"
    with pytest.raises(RuntimeError, match=message):
        again.search_loss(X, Y)


@keras.saving.register_keras_serializable(package="test")
def certain(x):
    return np.eye(3)[np.zeros(len(x), int)]


def test_a_registered_teacher_is_saved(tmp_path):
    model = pruned(kip.Distillation(certain, 0.25, base=kip.Invariance(None, 0.5)))
    model.save(tmp_path / "model.keras")
    objective = keras.models.load_model(tmp_path / "model.keras").plan.objective
    assert objective.teacher is certain
    assert (objective.weight, objective.base.weight) == (0.25, 0.5)


def test_a_method_of_a_library_is_missing_after_loading(tmp_path):
    model = pruned(kip.Distillation(forest().predict_proba))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(again.plan.objective.teacher, Missing)
    np.testing.assert_allclose(again(X), model(X), 1e-6)


# What is refused


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"teacher": 3}, TypeError, "its method predict_proba"),
        ({"teacher": smooth, "weight": 0}, ValueError, "weight=0"),
        ({"teacher": smooth, "weight": 1.5}, ValueError, "weight=1.5"),
        ({"teacher": smooth, "weight": "0.5"}, ValueError, "weight='0.5'"),
        ({"teacher": smooth, "weight": True}, ValueError, "weight=True"),
        ({"teacher": smooth, "temperature": "2"}, ValueError, "temperature='2'"),
        ({"teacher": smooth, "temperature": 0}, ValueError, "temperature=0"),
        ({"teacher": smooth, "temperature": np.inf}, ValueError, "temperature=inf"),
        ({"teacher": network().predict}, TypeError, "Pass the model itself"),
        ({"teacher": smooth, "base": "invariant"}, ValueError, "'invariance'"),
        (
            {"teacher": smooth, "base": kip.Distillation(smooth)},
            ValueError,
            "must not have a teacher, too",
        ),
    ],
)
def test_wrong_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        kip.Distillation(**arguments)


@pytest.mark.parametrize(
    "teacher, student, message",
    [
        (lambda x: forest().predict(x), network, "not forest.predict"),
        (lambda x: np.full((len(x), 2), 0.5), network, r"returns shape \(1, 2\)"),
        (lambda x: np.full((len(x), 3), 0.5), network, "sums from 1.5 to 1.5"),
        (lambda x: np.full((len(x), 3), np.nan), network, "Apply a softmax"),
        (network(classes=5), network, r"returns shape \(None, 5\)"),
        (smooth, two_outputs, "a model with 2"),
        (
            smooth,
            lambda: keras.Sequential([network(), layers.Dropout(0.1)]),
            "a student returns .* Pass `from_logits`",
        ),
        (
            keras.Sequential([network(), layers.Dropout(0.1)]),
            network,
            "a teacher returns logits.*'sequential.*If it returns .*Softmax",
        ),
        (two_outputs(), network, "its one output must come from"),
        (network("sigmoid"), network, r"a sigmoid of shape \(None, 3\)"),
        (smooth, lambda: network("sigmoid"), "add up to 1 in each row"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(teacher, student, message):
    student = student()
    student.build((None, 4))
    with pytest.raises(ValueError, match=message):
        kip.prune(
            student,
            0.5,
            objective=kip.Distillation(teacher),
            select=lambda key, layer: True,
        )


def test_a_teacher_must_not_be_the_student_itself():
    model = network()
    objective = kip.Distillation(model)
    kip.prune(model, 0.5, objective=objective)
    with pytest.raises(ValueError, match="Prune a copy"):
        kip.prune(model, 0.5, objective=objective, copy=False)
