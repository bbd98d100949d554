"""Files of results."""

import pytest

from keras_invprune_lab.training.files import write_csv, write_history


def test_history_has_a_column_for_each_log(tmp_path):
    history = [{"loss": 1.0, "invariance_loss": 2.0}, {"loss": 0.5}]
    write_history(history, tmp_path / "history.csv")
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines == ["epoch,loss,invariance_loss", "1,1.0,2.0", "2,0.5,"]


def test_a_table_has_the_columns_of_all_rows_or_those_that_are_named(tmp_path):
    rows, file = [{"a": 1, "b": "β"}, {"c": 2.5, "a": 3}], tmp_path / "table.csv"
    write_csv(file, rows)
    assert file.read_bytes().decode() == "a,b,c\n1,β,\n3,,2.5\n"
    write_csv(file, rows[:1], ("b", "a"))
    assert file.read_text(encoding="utf-8") == "b,a\nβ,1\n"


def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path):
    file = tmp_path / "table.csv"
    write_csv(file, [{"a": 1}])
    with pytest.raises(ValueError, match="not in fieldnames"):
        write_csv(file, [{"a": 2}, {"b": 3}], ("a",))
    assert file.read_text() == "a\n1\n"
