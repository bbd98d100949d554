"""The rows of a search in its folder."""

from keras_invprune_lab.structure.search.recipe import Training
from keras_invprune_lab.structure.search.rows import prepare, read


def test_rows_of_another_choice_are_made_again(tmp_path):
    for count in (30, 20):
        settings = Training(dataset="sklearn:digits", rows=count, validation_rows=10)
        prepare(settings, tmp_path)
        assert len(read(tmp_path, "train").x) == count
        before = (tmp_path / "x_train.npy").stat().st_mtime_ns
        prepare(settings, tmp_path)
        assert (tmp_path / "x_train.npy").stat().st_mtime_ns == before
