"""Data sets by name, through their own loaders."""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest

from keras_invprune_lab.data import (
    DataUnavailable,
    from_openml,
    from_tfds,
    load,
    prepare,
    tfds_images,
)
from keras_invprune_lab.data.from_openml import cached_names
from keras_invprune_lab.models import get_model


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


# The cache of OpenML's client


def describe(folder, number, name, status="active", kind="ARFF"):
    folder = folder / "org/openml/www/datasets" / str(number)
    folder.mkdir(parents=True)
    (folder / "description.xml").write_text(
        '<oml:data_set_description xmlns:oml="http://openml.org/openml">'
        f"<oml:id>{number}</oml:id><oml:name>{name}</oml:name>"
        f"<oml:version>1</oml:version><oml:format>{kind}</oml:format>"
        "<oml:url>http://127.0.0.1:9/data.arff</oml:url>"
        "<oml:parquet_url>http://127.0.0.1:9/data/data.pq</oml:parquet_url>"
        "<oml:default_target_attribute>y</oml:default_target_attribute>"
        f"<oml:status>{status}</oml:status></oml:data_set_description>",
        encoding="utf-8",
    )
    return folder


def store(folder, number, arff, kind="ARFF"):
    """Puts an ARFF file into a cache; returns its folder."""
    folder = describe(folder, number, "mine", kind=kind)
    (folder / "features.xml").write_text(
        '<oml:data_features xmlns:oml="http://openml.org/openml"><oml:feature>'
        "<oml:index>0</oml:index><oml:name>n</oml:name><oml:data_type>numeric"
        "</oml:data_type></oml:feature></oml:data_features>"
    )
    (folder / "dataset.arff").write_text(arff)
    return folder


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """OpenML's client with an empty cache; port 9, which it asks, refuses at once."""
    client = pytest.importorskip("openml")
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(
        client.config, "get_cache_directory", lambda: tmp_path / "org/openml/www"
    )
    monkeypatch.setattr(client.config, "server", "http://127.0.0.1:9/api/v1/xml")
    return client


@pytest.mark.parametrize("name", ["999999", "credit-x"])
def test_what_is_not_in_the_cache_names_the_variable(name, offline, monkeypatch):
    def tries_for_minutes(*_, **__):
        raise AssertionError("OpenML's client was asked.")

    monkeypatch.setattr(offline.datasets, "get_dataset", tries_for_minutes)
    monkeypatch.setattr(offline.datasets, "list_datasets", tries_for_minutes)
    with pytest.raises(DataUnavailable, match="refused.*OPENML_CACHE_DIR") as error:
        load(f"openml:{name}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["999999", "credit-x"])
def test_a_network_that_fails_later_names_the_variable(name, offline, monkeypatch):
    def breaks_off(*_, **__):
        raise ConnectionError("it broke off")

    monkeypatch.setattr(from_openml, "unreachable", lambda url: None)
    monkeypatch.setattr(offline.datasets, "get_dataset", breaks_off)
    monkeypatch.setattr(offline.datasets, "list_datasets", breaks_off)
    policy = offline.config.retry_policy, offline.config.connection_n_retries
    with pytest.raises(DataUnavailable, match="it broke off.*OPENML_CACHE_DIR"):
        load(f"openml:{name}")
    config = offline.config
    assert (config.retry_policy, config.connection_n_retries) == policy


ARFF = "@relation r\n@attribute n numeric\n@attribute y {no,yes,other}\n@data\n"
ROWS = [(i % 7, "yes" if i % 3 else "no") for i in range(30)]


@pytest.mark.parametrize("kind", ["ARFF", "Sparse_ARFF"])
def test_what_is_in_the_cache_needs_no_network(kind, offline, tmp_path):
    if kind == "ARFF":
        lines = [f"{number},{name}" for number, name in ROWS]
    else:
        lines = [f"{{0 {number},1 {name}}}" for number, name in ROWS]
    store(tmp_path, 5000, ARFF + "\n".join(lines), kind)
    data = load("openml:5000")
    frame = pd.DataFrame(ROWS, columns=["n", "y"])
    expected = prepare(frame[["n"]], frame["y"])
    assert data.names == ("no", "yes")
    for found, wanted in zip(data[:4], expected[:4], strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert "OPENML_SKIP_PARQUET" not in os.environ


def test_a_sparse_table_has_neither_row_numbers_nor_what_is_to_be_ignored(
    offline, tmp_path
):
    head = ARFF.replace("@attribute y", "@attribute id numeric\n@attribute y")
    lines = [f"{{0 {n},1 {i},2 {name}}}" for i, (n, name) in enumerate(ROWS)]
    folder = store(tmp_path, 5000, head + "\n".join(lines), "Sparse_ARFF")
    file, end = folder / "description.xml", "</oml:data_set_description>"
    for mark in ("row_id_attribute", "ignore_attribute"):
        text = file.read_text().replace(end, f"<oml:{mark}>id</oml:{mark}>{end}")
        file.write_text(text)
        assert load("openml:5000").x_train.shape == (24, 1)


@pytest.mark.parametrize("kind", ["ARFF", "Sparse_ARFF"])
@pytest.mark.parametrize("rows", ["1,no\n2\n", "{0 1,1 no}\n{0 2\n", "<html>\n"])
def test_a_file_that_cannot_be_parsed_is_no_question_of_the_network(
    kind, rows, offline, tmp_path
):
    file = store(tmp_path, 5000, ARFF + rows, kind) / "dataset.arff"
    with pytest.raises(ValueError, match="cannot be read: .*line [56]") as error:
        load("openml:5000")
    assert str(file) in str(error.value) and "network" not in str(error.value)


@pytest.mark.parametrize("name", ["description.xml", "features.xml"])
def test_a_description_that_cannot_be_parsed_names_its_file(name, offline, tmp_path):
    folder = store(tmp_path, 5000, ARFF + "1,no\n")
    (folder / name).write_text("<oml:data")
    with pytest.raises(ValueError, match=f"{name} cannot be read: .*line 1"):
        load("openml:5000")
    assert (folder / "dataset.arff").exists()


@pytest.mark.parametrize("error", [MemoryError(), PermissionError("not yours")])
def test_trouble_of_this_machine_is_not_the_table_s(
    error, offline, tmp_path, monkeypatch
):
    def fails(*_, **__):
        raise error

    store(tmp_path, 5000, ARFF + "1,no\n")
    monkeypatch.setattr(offline.OpenMLDataset, "get_data", fails)
    with pytest.raises(type(error)):
        load("openml:5000")


def test_a_table_must_name_one_target(offline, tmp_path):
    store(tmp_path, 5000, ARFF.replace("@attribute y", "@attribute z") + "1,no\n")
    with pytest.raises(ValueError, match="must name one target. Received: 'y'"):
        load("openml:5000")


def test_names_in_the_cache_are_those_of_active_data_sets(offline, tmp_path):
    assert cached_names(offline) == {}
    describe(tmp_path, 44, "twice")
    describe(tmp_path, 7, "twice")
    describe(tmp_path, 8, "old", status="deactivated")
    describe(tmp_path, 9, "caf\u00e9 &amp; tea")
    assert cached_names(offline) == {"café & tea": [9], "twice": [7, 44]}


def test_a_name_that_two_in_the_cache_have_is_not_guessed(offline, tmp_path):
    describe(tmp_path, 44, "twice")
    describe(tmp_path, 7, "twice")
    with pytest.raises(
        DataUnavailable, match=r"In the cache: \[7, 44\].*OPENML_CACHE_DIR"
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
        with pytest.raises(ValueError, match="does not have data set 999999.*Unknown"):
            load("openml:999999")
        server.shutdown()


# Image sets of TensorFlow Datasets


@pytest.mark.parametrize("name", ["iris", "coco", "imagenet2012", "imdb_reviews"])
def test_what_is_no_image_set_is_refused_before_its_download(
    name, tmp_path, monkeypatch
):
    tfds = pytest.importorskip("tensorflow_datasets")

    def download(*_, **__):
        raise AssertionError("a download")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", download)
    with pytest.raises(ValueError, match=f"{name} is not a data set of 8-bit images"):
        tfds_images(name, data_dir=tmp_path)


@pytest.fixture(scope="module")
def only_train():
    """The builder of a small image set with one part, made on this machine."""
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

    return OnlyTrain


def test_a_set_without_a_test_part_is_split_by_class(only_train, tmp_path):
    first, second, other = (
        tfds_images("only_train", tmp_path, seed=seed) for seed in (1, 1, 2)
    )
    assert (len(first.x_train), len(first.x_test)) == (40, 10)
    assert first.names == ("low", "high") and first.y_test.sum() == 6
    values = np.concatenate([first.x_train, first.x_test])[:, 0, 0, 0] * 255
    np.testing.assert_allclose(np.sort(values), np.arange(50), atol=1e-4)
    np.testing.assert_array_equal(first.x_test, second.x_test)
    assert (first.x_test != other.x_test).any()


def test_a_set_that_is_not_prepared_is_given_up_at_once(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow_datasets")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    for scheme in ("http", "https"):  # port 9 refuses at once
        monkeypatch.setenv(f"{scheme}_proxy", "http://127.0.0.1:9")
    with pytest.raises(DataUnavailable, match="refused.*TFDS_DATA_DIR") as error:
        tfds_images("fashion_mnist", tmp_path)
    assert "\n" not in str(error.value) and not any(tmp_path.iterdir())


def test_what_has_been_downloaded_needs_no_network(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    builder = tfds.builder("fashion_mnist", data_dir=tmp_path)
    urls = [*builder.url_infos]
    assert len(from_tfds._not_downloaded(builder)) == len(urls) == 4
    folder = tmp_path / "downloads" / "fashion_mnist"
    folder.mkdir(parents=True)
    for index, url in enumerate(urls[:3]):
        (folder / f"{index}.gz.INFO").write_text(json.dumps({"urls": [url]}))
    assert from_tfds._not_downloaded(builder) == urls[3:]


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ConnectionError("it broke off"), DataUnavailable, "broke off.*TFDS_DATA_DIR"),
        (KeyError("bad checksum"), DataUnavailable, "cannot be: 'bad checksum'$"),
        (MemoryError("not enough"), MemoryError, "not enough"),
        (OSError("the disk is full"), OSError, "the disk is full"),
    ],
)
def test_a_download_that_fails_says_why(
    error, kind, message, only_train, tmp_path, monkeypatch
):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(only_train, "download_and_prepare", fails)
    with pytest.raises(kind, match=message):
        tfds_images("only_train", tmp_path)


@pytest.mark.parametrize("fault", ["cut short", "spoilt", "gone", "description"])
def test_files_that_cannot_be_read_are_no_question_of_the_network(
    fault, only_train, tmp_path
):
    tfds_images("only_train", tmp_path)
    folder = tmp_path / "only_train" / "1.0.0"
    (records,) = folder.glob("*.tfrecord*")
    content = bytearray(records.read_bytes())
    if fault == "cut short":
        records.write_bytes(content[:-50])
    elif fault == "spoilt":
        content[100:110] = b"x" * 10
        records.write_bytes(content)
    elif fault == "gone":
        records.unlink()
    else:
        (folder / "dataset_info.json").write_text('{"name": ')
    with pytest.raises(ValueError, match="only_train.* cannot be read: ") as error:
        tfds_images("only_train", tmp_path)
    text = str(error.value)
    assert str(tmp_path) in text and "network" not in text and "\n" not in text


def test_too_little_memory_is_no_fault_of_the_files(only_train, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise MemoryError

    tfds_images("only_train", tmp_path)
    monkeypatch.setattr(only_train, "as_dataset", fails)
    with pytest.raises(MemoryError):
        tfds_images("only_train", tmp_path)


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
