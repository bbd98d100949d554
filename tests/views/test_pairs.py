"""Pairs, defaults and the checks of what was given as views."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_invprune import views
from keras_invprune.saving import Missing
from keras_invprune.views.pairs import channels_come_first, moves

IMAGES = np.random.default_rng(0).random((4, 8, 8, 1), dtype="float32")
ROWS = np.random.default_rng(0).random((4, 6), dtype="float32")


def test_one_view_is_drawn_twice():
    first, second = views.positive_pair(views.RandomShift(seed=1), IMAGES)
    view = views.RandomShift(seed=1)
    np.testing.assert_array_equal(first, view(IMAGES))
    np.testing.assert_array_equal(second, view(IMAGES))
    assert not np.array_equal(first, second)


def test_a_pair_is_applied_side_by_side():
    first, second = views.positive_pair((lambda x: x + 1, lambda x: 2 * x), ROWS)
    np.testing.assert_array_equal(first, ROWS + 1)
    np.testing.assert_array_equal(second, 2 * ROWS)


def test_none_stands_for_the_input_itself():
    first, second = views.positive_pair((None, views.ScarfCorruption(1.0)), ROWS)
    assert first is ROWS
    assert not np.array_equal(second, ROWS)
    first, second = views.positive_pair([lambda x: -x, None], ROWS)
    np.testing.assert_array_equal(first, -ROWS)
    assert second is ROWS


def test_a_callable_may_take_any_structure():
    x = {"a": ROWS, "b": IMAGES}
    first, second = views.positive_pair(lambda x: {**x, "a": x["a"] + 1}, x)
    np.testing.assert_array_equal(first["a"], ROWS + 1)
    assert second["b"] is IMAGES


@pytest.mark.parametrize("wrap", [list, tuple, lambda inputs: inputs[0]])
def test_defaults_follow_the_rank(wrap):
    inputs = wrap([keras.Input((8, 8, 1))])
    first, second = views.default_views(inputs)
    assert first is None
    assert [type(layer) for layer in second.layers] == [
        views.RandomShift,
        views.RandomScale,
        views.RandomRotation,
    ]
    first, second = views.default_views(wrap([keras.Input((6,))]))
    assert first is None
    assert isinstance(second, views.ScarfCorruption)
    assert (second.rate, second.reference) == (0.5, None)


@pytest.mark.parametrize("shape", [(8, 8, 1), (6,)])
def test_defaults_pass_their_own_check_and_make_pairs(shape):
    inputs = [keras.Input(shape)]
    chosen = views.default_views(inputs)
    views.check_views(chosen, inputs)
    x = IMAGES if len(shape) == 3 else ROWS
    first, second = views.positive_pair(chosen, x)
    assert first.shape == second.shape == x.shape


def named(shape, name, dtype="float32"):
    return keras.Input(shape, name=name, dtype=dtype)


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        (
            [named((3,), "a"), named((4,), "b")],
            r"2 inputs in a list: 'a' \(None, 3\) float32, 'b' \(None, 4\) float32",
        ),
        ({"a": named((3,), "a")}, r"1 input in a dict: 'a' \(None, 3\) float32"),
        ([named((20, 3), "series")], r"1 input: 'series' \(None, 20, 3\) float32"),
        ([named((20,), "tokens", "int32")], r"'tokens' \(None, 20\) int32"),
        ([named((8, 8, 3), "ids", "int32")], r"\(None, 8, 8, 3\) int32"),
        ([], "0 inputs"),
    ],
)
def test_no_defaults_for_other_inputs(inputs, found):
    with pytest.raises(ValueError, match=f"(?s){found}.*Pass `views=`: a callable"):
        views.default_views(inputs)


IMAGE_VIEWS = [
    views.RandomShift(name="image_view"),
    views.images(),
    views.natural_images(),
    keras.Sequential([keras.layers.Rescaling(2.0), views.RandomFlip()]),
    keras.layers.Pipeline([keras.layers.Pipeline([views.RandomScale()])]),
    (None, views.RandomResizedCrop()),
]


@pytest.mark.parametrize("given", IMAGE_VIEWS)
def test_image_views_need_one_input_of_rank_4(given):
    views.check_views(given, [keras.Input((8, 8, 3))])
    for inputs in (
        [keras.Input((6,))],
        [keras.Input((8, 8, 3)), keras.Input((8, 8, 3))],
        {"image": keras.Input((8, 8, 3))},
    ):
        with pytest.raises(ValueError, match="single input of rank 4.*Pass `views=`"):
            views.check_views(given, inputs)


def test_row_views_need_one_input_of_rank_2():
    views.check_views((None, views.ScarfCorruption()), [keras.Input((6,))])
    with pytest.raises(ValueError, match=r"'scarf' .*rank 2.*\(None, 8, 8, 3\)"):
        views.check_views(views.ScarfCorruption(name="scarf"), keras.Input((8, 8, 3)))


@pytest.mark.parametrize(
    "given",
    [lambda x: x, keras.layers.GaussianNoise(0.1), (np.flip, None), [np.flip, np.copy]],
)
def test_views_of_the_user_are_trusted_with_any_inputs(given):
    views.check_views(given, [keras.Input((6,)), keras.Input((8, 8, 3))])


@pytest.mark.parametrize(
    "given", [None, "images", 3, (None, None), (np.flip,), (np.flip, "images")]
)
def test_what_cannot_be_called_is_refused(given):
    with pytest.raises(TypeError, match="`views` must be a callable or a pair"):
        views.check_views(given, [keras.Input((6,))])
    with pytest.raises(TypeError, match="`views` must be a callable or a pair"):
        views.positive_pair(given, ROWS)


NOISE = keras.layers.GaussianNoise(1.0)


@pytest.mark.parametrize(
    "given", [NOISE, keras.Sequential([keras.layers.Rescaling(1.0), NOISE])]
)
def test_layers_that_are_idle_in_evaluation_are_not_idle_as_views(given):
    first, second = views.positive_pair(given, ROWS)
    assert not np.allclose(first, ROWS) and not np.allclose(first, second)


def test_images_of_8_bits_have_default_views():
    first, second = views.default_views([named((8, 8, 3), "pixels", "uint8")])
    assert first is None and views.are_compilable(second)


@pytest.mark.parametrize("given", [views.RandomShift, (None, views.RandomShift)])
def test_a_class_is_no_view(given):
    with pytest.raises(TypeError, match=r"Received: RandomShift. Write Random"):
        views.check_views(given, [keras.Input((8, 8, 1))])


WRONG = {
    "nothing": lambda x: None,
    "another_rank": lambda x: x[:, 0],
    "another_length": lambda x: x[:, :3],
    "fewer_rows": lambda x: x[:2],
    "two": lambda x: (x, x),
    "a_number": lambda x: 1.0,
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_version_of_the_input_is_named(name):
    view = WRONG[name]
    view.__name__ = name
    with pytest.raises(ValueError, match=rf"The view '{name}' must return.*Received"):
        views.positive_pair((None, view), ROWS)


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (views.RandomFlip(), True),
        (views.RandomResizedCrop(), True),
        (views.images(), True),
        (views.natural_images(), True),
        (views.RandomGrayscale(), False),
        (keras.layers.Pipeline([views.RandomColorJitter()]), False),
        (views.ScarfCorruption(), False),
        (None, False),
        (np.sin, False),
    ],
)
def test_which_views_move_what_is_in_an_image(view, expected):
    assert moves(view) == expected


# Where the channels are


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


def test_the_default_views_move_nothing_across_channels(channels_first):
    chosen = views.default_views([keras.Input((3, 16, 16))])
    views.check_views(chosen, [keras.Input((3, 16, 16))])
    assert views.are_compilable(chosen) and moves(chosen[1])
    red = np.zeros((4, 3, 16, 16), "float32")
    red[:, 0, 4:12, 4:12] = 1.0
    _, second = views.positive_pair(chosen, red)
    assert second.shape == red.shape and not np.array_equal(second, red)
    assert not np.any(second[:, 1:])
    # The square was moved whole: so many pixels are bright in each image.
    assert np.all(np.abs(np.sum(second[:, 0], axis=(1, 2)) - 64) < 40)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((16, 16, 3), False),
        ((None, None, 1), False),
        ((4, 4, 2), False),
        ((16, 12, 7), False),
        ((3, 16, 3), False),
        ((3, 16, 16), None),
        ((1, None, None), None),
    ],
)
def test_channels_come_where_keras_says_or_it_is_not_clear(shape, expected):
    assert channels_come_first((None, *shape)) == expected


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((3, 16, 16), True), ((2, 4, 4), True), ((16, 16, 3), None)],
)
def test_channels_may_come_first(channels_first, shape, expected):
    assert channels_come_first((None, *shape)) == expected


def test_images_that_look_like_the_reverse_are_refused():
    match = r"'channels_last'.*\(None, 3, 16, 16\).*set_image_data_format.*Pass `views="
    with pytest.raises(ValueError, match=match):
        views.default_views([keras.Input((3, 16, 16))])


@pytest.mark.parametrize(
    ("view", "cause"),
    [
        (lambda x, y: x, "TypeError"),
        (lambda x: 1 / 0, "ZeroDivisionError"),
        (lambda x: np.asarray(x) + 1, "NumPy"),
    ],
)
def test_a_view_that_fails_is_named(view, cause):
    @tf.function
    def draw(x):
        return views.positive_pair((None, view), x)

    with pytest.raises(ValueError, match=f"(?s)The view '.*lambda.*' failed.*{cause}"):
        draw(tf.ones((2, 3)))


def test_a_view_that_fails_on_arrays_gets_no_advice_on_symbolic_tensors():
    with pytest.raises(ValueError, match="failed with ZeroDivisionError") as caught:
        views.positive_pair((None, lambda x: 1 / 0), tf.ones((2, 3)))
    assert "symbolic" not in str(caught.value)


def test_a_view_that_is_missing_says_what_to_do():
    with pytest.raises(RuntimeError, match="saved with plan.objective.views=mine"):
        views.positive_pair(Missing("mine", "plan.objective.views"), tf.ones((2, 3)))


def test_a_view_of_fewer_rows_or_in_a_dictionary_is_named():
    with pytest.raises(ValueError, match="The view '.*lambda.*' must return"):
        views.positive_pair(lambda x: {"x": x}, tf.ones((4, 2)))

    @tf.function(input_signature=[tf.TensorSpec((None, 2))])
    def draw(x):
        return views.positive_pair(lambda x: x[:3], x)[0] + x[:3]

    with pytest.raises(tf.errors.InvalidArgumentError, match="view.*number of rows"):
        draw(tf.ones((4, 2)))
