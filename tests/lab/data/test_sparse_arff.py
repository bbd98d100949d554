"""Sparse ARFF, against the dense table it was written from."""

import numpy as np
import pandas as pd
import pytest

from keras_invprune_lab.data.sparse_arff import read_sparse_arff

HEAD = "@relation s\n@attribute n numeric\n@attribute 'a b' {x,'y z'}\n@attribute m "


def written(tmp_path, end, rows):
    file = tmp_path / "dataset.arff"
    file.write_text(f"{HEAD}{end}\n@data\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return file


def test_what_is_left_out_is_zero_or_the_first_value(tmp_path):
    rows = ["{0 1.5,1 'y z'}", "{}", "{2 -3}", "{0 ?,1 ?}", "{}"]
    found = read_sparse_arff(written(tmp_path, "real", rows))
    names = pd.Categorical(["y z", "x", "x", None, "x"], categories=["x", "y z"])
    expected = {"n": [1.5, 0, 0, np.nan, 0], "a b": names, "m": [0.0, 0, -3, 0, 0]}
    pd.testing.assert_frame_equal(found, pd.DataFrame(expected))


def test_text_cannot_be_left_out(tmp_path):
    with pytest.raises(ValueError, match=r"must not have text columns.*\['m'\]"):
        read_sparse_arff(written(tmp_path, "string", ["{2 word}"]))


@pytest.mark.parametrize("row", ["{0 x}", "{0 1,1 w}", "{0 1", "1,x,2"])
def test_a_fault_names_its_line(tmp_path, row):
    arff = pytest.importorskip("arff")
    with pytest.raises(arff.ArffException, match="line 7"):
        read_sparse_arff(written(tmp_path, "real", ["{0 1}", row]))
