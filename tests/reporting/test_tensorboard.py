"""What TensorBoard shows, asked of a TensorBoard server."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_invprune as kip
from keras_invprune.reporting.tensorboard import picture

X = np.random.default_rng(0).random((32, 8, 8, 1), "float32")
Y = np.arange(32) % 3
KEY = "hidden/kernel"


def test_the_first_layer_is_laid_out_as_the_image():
    mask = np.ones((4, 4, 1, 5), bool)
    mask[:, :2] = False  # nothing looks at the left half
    shown = picture(mask.reshape(16, 5), (4, 4, 1))
    assert shown.shape == (128, 128)
    assert not shown[:, :64].any() and (shown[:, 64:] == 1).all()


def test_a_pixel_is_as_bright_as_the_share_of_its_connections():
    mask = np.zeros((4, 4), bool)
    mask[1, :3] = True
    mask[2, 0] = True
    shown = picture(mask, (2, 2, 1))
    assert (shown[:64, 64:] == 1).all()  # the most used input
    np.testing.assert_allclose(shown[64:, :64], 1 / 3)
    assert not shown[:64, :64].any() and not shown[64:, 64:].any()


def test_large_masks_are_averaged_and_keep_their_mean():
    mask = np.random.default_rng(0).random((1024, 512)) < 0.25
    shown = picture(mask)
    assert shown.shape == (256, 256)
    assert shown.mean() == pytest.approx(mask.mean(), abs=1e-6)
    assert picture(mask[:1000, :300]).shape == (250, 150)


@pytest.mark.parametrize("shape", [(3, 3, 2, 5), (4, 2, 3), (7, 1), (2, 2, 2, 3, 4)])
def test_every_rank_has_a_picture(shape):
    shown = picture(np.ones(shape, bool))
    assert shown.ndim == 2 and max(shown.shape) >= 128 and shown.max() == 1


def train(folder, epochs=4):
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(12, activation="relu", name="hidden"),
            keras.layers.Dense(3, name="head"),
        ]
    )
    model = kip.prune_for_invariance(network, 0.5, views=kip.views.RandomShift(0.1))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], jit_compile=False)
    boards = [
        keras.callbacks.TensorBoard(folder, write_graph=False),
        kip.PruningBoard(folder, data=(X, Y)),
    ]
    model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, callbacks=boards)
    return model


class Server:
    """A TensorBoard of its own process, asked through HTTP."""

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        self.url = f"http://localhost:{port}/data/plugin"
        line = [sys.executable, "-W", "ignore", "-m", "tensorboard.main"]
        line += ["--logdir", str(folder), "--port", str(port), "--load_fast", "false"]
        self.process = subprocess.Popen(
            line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def ask(self, path, body=None, **query):
        url = f"{self.url}/{path}?{urllib.parse.urlencode(query)}"
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(url, content, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def wait_for(self, path, condition):
        """Asks until the answer is as it should be: runs are read one by one."""
        deadline, found = time.monotonic() + 90, None
        while time.monotonic() < deadline:
            try:
                found = json.loads(self.ask(path))
                if condition(found):
                    return found
            except OSError:
                assert self.process.poll() is None, "TensorBoard has ended"
            time.sleep(0.5)
        raise AssertionError(f"{path}: {found}")


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    model = train(folder)
    server = Server(folder)
    try:
        server.wait_for("scalars/tags", lambda tags: {"train", "pruning"} <= set(tags))
        server.wait_for("text/tags", lambda tags: "report" in tags.get("pruning", ()))
        yield model, server
    finally:
        server.process.terminate()
        server.process.wait(30)


@pytest.mark.slow
def test_scalars(shown):
    model, server = shown

    def values(run, tag):
        points = json.loads(server.ask("scalars/scalars", run=run, tag=tag))
        return [value for _, _, value in points]

    tags = json.loads(server.ask("scalars/tags"))
    logged = {f"epoch_{name}" for name in ("sparsity", "supervised_loss")}
    assert {*logged, "epoch_invariance_loss"} <= set(tags["train"])
    assert values("train", "epoch_sparsity") == [0, 0, 0.5, 0.5]
    assert values("pruning", f"sparsity/{KEY}") == [0, 0, 0.5, 0.5]
    assert values("pruning", "target_sparsity") == [0.5] * 4
    assert values("pruning", "mask_change") == [0, 0, 0.5, 0]
    assert values("pruning", "final/sparsity") == [model.sparsity]
    (size,) = values("pruning", "final/bytes/model.tflite")
    assert size > 1000 and len(values("pruning", "final/accuracy")) == 1


@pytest.mark.slow
def test_the_mask_of_the_first_layer_is_a_picture_of_the_image(shown):
    model, server = shown
    query = {"run": "pruning", "tag": f"masks/{KEY}", "sample": 0}
    images = json.loads(server.ask("images/images", **query))
    assert [image["step"] for image in images] == [0, 2]
    content = server.ask(f"images/individualImage?{images[-1]['query']}&ignored")
    pixels = tf.io.decode_png(content).numpy()[..., 0]
    kept = model.masks[KEY].numpy().mean(axis=1).reshape(8, 8)
    expected = kept / kept.max()
    np.testing.assert_allclose(pixels[8::16, 8::16] / 255, expected, atol=0.01)


@pytest.mark.slow
def test_histograms_of_survivors_and_scores(shown):
    model, server = shown
    for name in ("surviving", "scores"):
        query = {"run": "pruning", "tag": f"{name}/{KEY}"}
        found = json.loads(server.ask("histograms/histograms", **query))
        counts = [sum(bucket[2] for bucket in step[2]) for step in found]
        size = model.masks[KEY].shape[0] * model.masks[KEY].shape[1]
        assert counts == [size, size, size / 2, size / 2]


@pytest.mark.slow
def test_text_says_what_happened_and_holds_the_report(shown):
    _, server = shown
    events, report = (
        json.loads(server.ask("text/text", run="pruning", tag=tag))[-1]["text"]
        for tag in ("events", "report")
    )
    assert "pruned to sparsity 0.5000" in events and "rewound" in events
    assert "parameters" in report and "accuracy" in report


@pytest.mark.slow
def test_hparams(shown):
    _, server = shown
    body = {"experimentName": "", "startIndex": 0, "sliceSize": 9}
    body["allowedStatuses"] = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_RUNNING"]
    body["colParams"] = []
    answer = json.loads(server.ask("hparams/session_groups", body))
    (group,) = answer["sessionGroups"]
    assert group["hparams"]["sparsity"] == 0.5
    assert group["hparams"]["initial_scale"] == 0.5
    assert group["hparams"]["score"] == "magnitude"


def test_an_unfinished_training_has_no_report(tmp_path):
    with pytest.warns(UserWarning, match="target"):
        network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5)])
        schedule = kip.schedules.OneShot(0.5, at=99)
        model = kip.prune(network, 0.5, schedule=schedule, select=["dense"])
        model.compile("sgd", "mse", jit_compile=False)
        x = np.ones((8, 4), "float32")
        board = kip.PruningBoard(tmp_path)
        model.fit(x, np.ones((8, 5)), epochs=1, verbose=0, callbacks=[board])
    assert os.listdir(tmp_path) == ["pruning"]


def test_what_does_not_fit_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="`log_dir` must be a folder"):
        kip.PruningBoard(tmp_path / "file")
    with pytest.raises(ValueError, match="`histogram_freq` must be >= 0"):
        kip.PruningBoard(tmp_path, histogram_freq=-1)
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5)])
    plain.compile("sgd", "mse")
    with pytest.raises(ValueError, match="PruningBoard needs a model"):
        plain.fit(np.ones((8, 4)), np.ones((8, 5)), callbacks=[kip.PruningBoard("x")])


def test_a_report_that_cannot_be_made_loses_no_training(tmp_path, caplog):
    inputs = keras.Input((None, 3))  # of no length that a random input could have
    pooled = keras.layers.GlobalAveragePooling1D()(inputs)
    body = keras.layers.Dense(6, name="body")(pooled)
    network = keras.Model(inputs, keras.layers.Dense(3)(body))
    model = kip.prune(network, 0.5)
    model.compile("sgd", "mse", jit_compile=False)
    x, y = np.ones((8, 5, 3), "float32"), np.ones((8, 3), "float32")
    board = kip.PruningBoard(tmp_path)
    history = model.fit(x, y, epochs=2, verbose=0, callbacks=[board])
    assert len(history.history["loss"]) == 2
    assert "no report in TensorBoard: Random inputs need" in caplog.text


def test_a_score_that_fails_loses_no_training(tmp_path, caplog):
    def score(weights, model):
        if model.step:
            raise ValueError("nothing to look at")
        return weights

    model = kip.prune(
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(6, name="body")]),
        0.5,
        score=score,
        schedule="at_init",
        select="body",
    )
    model.compile("sgd", "mse", jit_compile=False)
    x, y = np.ones((8, 3), "float32"), np.ones((8, 6), "float32")
    model.fit(x, y, verbose=0, callbacks=[kip.PruningBoard(tmp_path)])
    assert "no histograms of the scores: nothing to look at" in caplog.text
