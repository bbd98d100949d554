"""Data sets by name, through their own loaders."""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from keras_invprune.experiments.data import load, tfds_images
from keras_invprune.experiments.data.from_openml import cached_names
from keras_invprune.experiments.models import get_model


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("sklearn:digits", (8, 8, 1), 10),
        ("sklearn:iris", (4,), 3),
        ("sklearn:wine", (13,), 3),
        ("sklearn:breast_cancer", (30,), 2),
    ],
)
def test_those_inside_scikit_learn(name, shape, classes):
    data = load(name)
    assert data.x_train.shape[1:] == shape and data.classes == classes
    assert set(data.y_test) == set(range(classes))
    model = get_model(None, data)
    assert model(data.x_test[:2]).shape == (2, classes)


def test_images_for_validation_are_taken_from_training_by_class():
    whole, data = load("sklearn:digits", 1), load("sklearn:digits", 1, validation=0.25)
    assert whole.x_valid is None
    np.testing.assert_array_equal(data.x_test, whole.x_test)

    def rows(*parts):
        return sorted(
            (y, x.tobytes()) for xs, ys in parts for x, y in zip(xs, ys, strict=True)
        )

    train, valid = (data.x_train, data.y_train), (data.x_valid, data.y_valid)
    assert rows(train, valid) == rows((whole.x_train, whole.y_train))
    shares = np.bincount(data.y_valid) / np.bincount(whole.y_train)
    np.testing.assert_allclose(shares, 0.25, atol=0.005)


def test_choices_reach_the_tables():
    data = load("sklearn:iris", validation=0.25)
    assert [len(data.x_train), len(data.x_valid), len(data.x_test)] == [90, 30, 30]
    with pytest.raises(ValueError, match="'codes'"):
        load("sklearn:iris", encoding="code")


@pytest.mark.parametrize("name", ["sklearn:digits", "sklearn:iris"])
@pytest.mark.parametrize("share", [1.0, -0.5])
def test_validation_is_a_share(name, share):
    with pytest.raises(ValueError, match=r"`validation` must be a share in \[0, 1\)"):
        load(name, validation=share)


def test_mnist(mnist):
    data = load("tfds:mnist")
    assert data.x_train.shape == (60000, 28, 28, 1) and data.classes == 10
    assert data.x_train.min() == 0 and data.x_train.max() == 1
    assert data.names == tuple("0123456789")
    assert get_model(None, data).name == "lenet_300_100"


@pytest.mark.parametrize(
    ("name", "rows", "columns", "classes"),
    [
        ("31", 1000, 61, 2),
        ("credit-g", 1000, 61, 2),  # strings
        ("2", 898, 74, 5),  # much is missing
        ("1468", 1080, 752, 9),  # wide; 104 columns are constant in training
        ("1502", 245057, 3, 2),  # long
        ("5", 452, 314, 13),  # small classes
    ],
)
def test_tables_of_openml(openml, name, rows, columns, classes):
    data = load(f"openml:{name}")
    assert len(data.x_train) + len(data.x_test) == rows
    assert data.x_train.shape[1] == columns and data.classes == classes
    assert np.isfinite(data.x_train).all() and np.isfinite(data.x_test).all()


@pytest.mark.parametrize("name", ["999999", "credit-x"])
def test_what_is_not_in_the_cache_names_the_variable(openml, name, monkeypatch):
    import openml as client

    def no_network(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr(client.datasets, "get_dataset", no_network)
    monkeypatch.setattr(client.datasets, "list_datasets", no_network)
    policy = client.config.retry_policy
    with pytest.raises(RuntimeError, match="no network.*OPENML_CACHE_DIR"):
        load(f"openml:{name}")
    assert client.config.retry_policy == policy


def test_what_is_not_prepared_names_the_variable(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def no_network(*_, **__):
        raise ConnectionError("no network.")

    monkeypatch.setattr(tfds, "load", no_network)
    with pytest.raises(RuntimeError, match="no network.*TFDS_DATA_DIR"):
        load("tfds:mnist")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digits", "is named 'sklearn:NAME'"),
        ("sklern:digits", "Did you mean 'sklearn:digits'"),
        ("sklearn:digit", "Did you mean 'digits'"),
        ("tfds:mnisst", "Did you mean 'mnist'"),
        ("openml:", "Received: 'openml:'"),
    ],
)
def test_unknown_names_get_near_matches(name, message):
    with pytest.raises(ValueError, match=message):
        load(name)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("sklearn:iris", "sklearn"),
        ("tfds:mnist", "tensorflow_datasets"),
        ("openml:31", "openml"),
    ],
)
def test_a_missing_library_names_the_extra(name, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install '\.\[data\]'"):
        load(name)


def test_networks_that_are_not_there_or_do_not_fit():
    with pytest.raises(ValueError, match="Did you mean 'convnet'"):
        get_model("convnett", load("sklearn:digits"))
    with pytest.raises(ValueError, match="'convnet' needs images"):
        get_model("convnet", load("sklearn:iris"))


def describe(folder, number, name, status="active"):
    folder = folder / "org/openml/www/datasets" / str(number)
    folder.mkdir(parents=True)
    (folder / "description.xml").write_text(
        '<oml:data_set_description xmlns:oml="http://openml.org/openml">'
        f"<oml:id>{number}</oml:id><oml:name>{name}</oml:name>"
        f"<oml:status>{status}</oml:status></oml:data_set_description>",
        encoding="utf-8",
    )


def test_names_in_the_cache_are_those_of_active_data_sets(tmp_path, monkeypatch):
    client = pytest.importorskip("openml")
    monkeypatch.setattr(
        client.config, "get_cache_directory", lambda: tmp_path / "org/openml/www"
    )
    assert cached_names(client) == {}
    describe(tmp_path, 44, "twice")
    describe(tmp_path, 7, "twice")
    describe(tmp_path, 8, "old", status="deactivated")
    describe(tmp_path, 9, "caf\u00e9 &amp; tea")
    assert cached_names(client) == {"café & tea": [9], "twice": [7, 44]}


def test_a_name_that_two_in_the_cache_have_is_not_guessed(tmp_path, monkeypatch):
    client = pytest.importorskip("openml")
    monkeypatch.setattr(
        client.config, "get_cache_directory", lambda: tmp_path / "org/openml/www"
    )
    # Nothing listens on port 9: what a machine without a network meets.
    monkeypatch.setattr(client.config, "server", "http://127.0.0.1:9/api/v1/xml")
    describe(tmp_path, 44, "twice")
    describe(tmp_path, 7, "twice")
    with pytest.raises(
        RuntimeError, match=r"In the cache: \[7, 44\].*OPENML_CACHE_DIR"
    ):
        load("openml:twice")


def test_what_openml_does_not_have_is_no_question_of_the_network(tmp_path, monkeypatch):
    client = pytest.importorskip("openml")
    unknown = (
        b'<oml:error xmlns:oml="http://openml.org/openml"><oml:code>111</oml:code>'
        b"<oml:message>Unknown dataset</oml:message></oml:error>"
    )

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802
            self.send_response(412)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(unknown)))
            self.end_headers()
            self.wfile.write(unknown)

        def log_message(self, *_):
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/api/v1/xml"
        monkeypatch.setattr(client.config, "server", url)
        monkeypatch.setattr(client.config, "get_cache_directory", lambda: tmp_path)
        with pytest.raises(ValueError, match="gives no data set 999999.*Unknown"):
            load("openml:999999")
        server.shutdown()


@pytest.mark.parametrize("name", ["iris", "coco", "imagenet2012", "imdb_reviews"])
def test_what_is_no_image_set_is_refused_before_its_download(
    name, tmp_path, monkeypatch
):
    import tensorflow_datasets as tfds

    def download(*_, **__):
        raise AssertionError("a download")

    monkeypatch.setattr(tfds, "load", download)
    with pytest.raises(ValueError, match=f"{name} is no set of 8-bit images"):
        tfds_images(name, data_dir=tmp_path)


def test_a_set_without_a_test_part_is_split_by_class(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")

    class OnlyTrain(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            image = tfds.features.Image(shape=(4, 4, 1))
            label = tfds.features.ClassLabel(names=["low", "high"])
            return self.dataset_info_from_configs(
                features=tfds.features.FeaturesDict({"image": image, "label": label}),
                supervised_keys=("image", "label"),
            )

        def _split_generators(self, manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for index in range(50):
                image = np.full((4, 4, 1), index, np.uint8)
                yield index, {"image": image, "label": int(index >= 20)}

    first, second, other = (
        tfds_images("only_train", tmp_path, seed=seed) for seed in (1, 1, 2)
    )
    assert (len(first.x_train), len(first.x_test)) == (40, 10)
    assert first.names == ("low", "high") and first.y_test.sum() == 6
    values = np.concatenate([first.x_train, first.x_test])[:, 0, 0, 0] * 255
    np.testing.assert_allclose(np.sort(values), np.arange(50), atol=1e-4)
    np.testing.assert_array_equal(first.x_test, second.x_test)
    assert (first.x_test != other.x_test).any()


def test_a_configuration_that_is_not_there():
    with pytest.raises(ValueError, match="has no 'mnist/foo': .*foo not found"):
        load("tfds:mnist/foo")


def test_image_sets_are_looked_up_without_a_network(monkeypatch):
    import tensorflow_datasets as tfds

    asked = []
    real = tfds.list_builders
    monkeypatch.setattr(
        tfds,
        "list_builders",
        lambda **options: asked.append(options) or real(**options),
    )
    with pytest.raises(ValueError, match="Did you mean"):
        load("tfds:mnisst")
    assert asked == [{"with_community_datasets": False}]
