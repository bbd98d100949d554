import itertools
import sys

import keras
import numpy as np
import pytest


def test_the_dense_network_has_a_file_with_8_bits(benchmark, tmp_path):
    layers = keras.layers.Dense(64, "relu"), keras.layers.Dense(10)
    model = keras.Sequential([keras.Input((100,)), *layers])
    files = benchmark.files_of(model, None, tmp_path, "dense")
    first, second = itertools.islice(files, 2)
    assert first[:2] == ("converter", "float32")
    assert second[:2] == ("converter", "int8 dynamic")
    assert len(second[2]) < len(first[2]) / 2
    file = benchmark.File(second[2], np.ones((1, 100), np.float32))
    assert file.accuracy(np.ones((4, 100), np.float32), np.arange(4)) in (0, 25)


@pytest.mark.parametrize("again", [False, True])
def test_finished_seeds_are_measured_only_on_request(
    again, benchmark, tmp_path, monkeypatch
):
    row = dict.fromkeys(benchmark.FIELDS, 1)
    row |= {"network": "mlp-1024", "rows": "test", "rate": 0.1}

    runs = []

    def measure(data, arguments, seed):
        return [row | {"seed": seed, "bytes": len(runs)}]

    monkeypatch.setattr(benchmark, "tfds_images", lambda name: None)
    monkeypatch.setattr(benchmark, "measure", measure)
    command = ["x", "--network", "mlp-1024", "--out", str(tmp_path), "--seeds"]
    for more in (["0"], ["0", "1", *again * ["--again"]]):
        runs.append(more)
        monkeypatch.setattr(sys, "argv", [*command, *more])
        benchmark.main()
    lines = (tmp_path / "smallest_fastest.csv").read_text().splitlines()[1:]
    sizes = [line.split(",")[benchmark.FIELDS.index("bytes")] for line in lines]
    assert sizes == (["2", "2"] if again else ["1", "2"])
