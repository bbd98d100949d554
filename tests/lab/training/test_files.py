"""Files of a training."""

from keras_invprune_lab.training.files import write_history


def test_history_has_a_column_for_each_log(tmp_path):
    history = [{"loss": 1.0, "invariance_loss": 2.0}, {"loss": 0.5}]
    write_history(history, tmp_path / "history.csv")
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines == ["epoch,loss,invariance_loss", "1,1.0,2.0", "2,0.5,"]
