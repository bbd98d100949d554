"""The runner carries out whatever it is given, once."""

import shutil

from keras_invprune.saving import write_json
from keras_invprune_lab.methods.base import Trained
from keras_invprune_lab.runs.configuration import CONFIG
from keras_invprune_lab.runs.runner import Task, carry_out


class Answer(Task):
    """Needs no training; another process may be faster while it is prepared."""

    schema, config, defaults = "test/1", {"question": 6}, {}
    trainings = 0

    def __init__(self, faster=None):
        self.faster = faster

    def prepare(self, part):
        if self.faster:
            shutil.copytree(self.faster, part.with_name("out"))

    def train(self, part, show):
        self.trainings += 1
        return Trained({"answer": 42}, [])

    def write(self, trained, part, new):
        write_json(new / "other.json", {})
        return trained.found


def test_a_task_is_carried_out_once(tmp_path):
    task = Answer()
    reports = [carry_out(task, tmp_path / "out", print) for _ in range(2)]
    assert reports[0] == reports[1] and reports[0]["answer"] == 42
    assert task.trainings == 1 and not (tmp_path / "out.part").exists()
    assert (tmp_path / "out" / CONFIG).exists()


def test_what_another_process_finishes_meanwhile_is_not_done_again(tmp_path):
    first = carry_out(Answer(), tmp_path / "first", print)
    late = Answer(faster=tmp_path / "first")
    assert carry_out(late, tmp_path / "out", print) == first
    assert late.trainings == 0 and not (tmp_path / "out.part").exists()
