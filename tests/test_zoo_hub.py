"""Tasks of KerasHub with random weights: compiled when made, of many inputs.

KerasHub comes with the extra "dev"; without it these tests are skipped.
"""

import keras
import numpy as np
import pytest

import keras_invprune as kip

hub = pytest.importorskip("keras_hub", reason="needs keras-hub")
pytestmark = pytest.mark.slow

ROWS, STEPS, WORDS = 4, 6, 20
DRAWS = np.random.default_rng(0)
BERT = {
    "vocabulary_size": WORDS,
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 16,
    "max_sequence_length": STEPS,
}


def tokens(*names):
    ids = DRAWS.integers(1, WORDS, (ROWS, STEPS)).astype("int32")
    rest = {"segment_ids": 0 * ids, "padding_mask": np.ones_like(ids)}
    return {"token_ids": ids} | {name: rest[name] for name in names}


def images():
    return DRAWS.random((ROWS, 32, 32, 3)).astype("float32")


def bert_classifier():
    backbone = hub.models.BertBackbone(**BERT)
    task = hub.models.BertTextClassifier(backbone, num_classes=3, preprocessor=None)
    return task, tokens("segment_ids", "padding_mask"), np.arange(ROWS) % 3


def roberta_masked_words():
    backbone = hub.models.RobertaBackbone(**BERT)
    task = hub.models.RobertaMaskedLM(backbone, preprocessor=None)
    places = np.tile([1, 3], (ROWS, 1)).astype("int32")
    x = tokens("padding_mask") | {"mask_positions": places}
    return task, x, DRAWS.integers(1, WORDS, (ROWS, 2))


def gpt2_next_words():
    backbone = hub.models.GPT2Backbone(**BERT)
    task = hub.models.GPT2CausalLM(backbone, preprocessor=None)
    return task, tokens("padding_mask"), DRAWS.integers(1, WORDS, (ROWS, STEPS))


def resnet_classifier():
    backbone = hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(32, 32, 3),
    )
    task = hub.models.ResNetImageClassifier(
        backbone, num_classes=3, preprocessor=None, pooling="avg"
    )
    return task, images(), np.arange(ROWS) % 3


def vit_classifier():
    backbone = hub.models.ViTBackbone(
        image_shape=(32, 32, 3),
        patch_size=(16, 16),
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        mlp_dim=16,
    )
    task = hub.models.ViTImageClassifier(
        backbone, num_classes=3, preprocessor=None, pooling="token"
    )
    return task, images(), np.arange(ROWS) % 3


TASKS = [
    bert_classifier,
    roberta_masked_words,
    gpt2_next_words,
    resnet_classifier,
    vit_classifier,
]


# Without a copy only what differs most: layers called by hand, and a graph of layers.
CASES = [(make, True) for make in TASKS if make is not bert_classifier]
CASES += [(bert_classifier, False), (resnet_classifier, False)]
CASES += [pytest.param(bert_classifier, True, marks=pytest.mark.heavy)]  # as RoBERTa


@pytest.mark.parametrize(("make", "copy"), CASES)
@pytest.mark.filterwarnings("ignore")  # KerasHub's own, of layers built late
def test_a_task_is_pruned_trained_and_stripped(make, copy):
    keras.utils.set_random_seed(0)
    task, x, y = make()
    before = keras.tree.map_structure(np.asarray, task.predict(x, verbose=0))
    pruned = kip.prune(task, 0.5, copy=copy)
    again = keras.tree.map_structure(np.asarray, pruned.predict(x, verbose=0))
    np.testing.assert_allclose(again, before, rtol=1e-4, atol=1e-5)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    pruned.compile("sgd", loss, metrics=["accuracy"])
    logs = pruned.fit(x, y, batch_size=2, epochs=2, verbose=0).history
    assert pruned.finished and set(logs) >= {"loss", "accuracy", "sparsity"}
    assert logs["sparsity"][-1] == pytest.approx(0.5, abs=0.01)
    final = kip.strip_pruning(pruned)
    assert type(final) is type(task)
    np.testing.assert_allclose(
        final.predict(x, verbose=0),
        pruned.predict(x, verbose=0),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.filterwarnings("ignore")
def test_a_task_that_prepares_its_data_itself_is_refused():
    backbone = hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64],
        stackwise_num_blocks=[1],
        stackwise_num_strides=[1],
        block_type="basic_block",
        image_shape=(32, 32, 3),
    )
    converter = hub.layers.ResNetImageConverter(image_size=(32, 32), scale=1 / 255)
    preprocessor = hub.models.ResNetImageClassifierPreprocessor(converter)
    task = hub.models.ResNetImageClassifier(
        backbone, num_classes=3, preprocessor=preprocessor
    )
    with pytest.raises(ValueError, match="prepares its data.*preprocessor=None"):
        pruned = kip.prune(task, 0.5, copy=False)
        pruned.compile("sgd", "sparse_categorical_crossentropy")
        pruned.fit(255 * images(), np.arange(ROWS) % 3, verbose=0)
