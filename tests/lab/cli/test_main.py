"""The command line, run as a user runs it."""

import json
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import keras
import pytest
from typer.testing import CliRunner

from disks import small_disk
from keras_invprune.compaction import verify
from keras_invprune.exporting.planner import TARGETS, planning
from keras_invprune.exporting.planner.candidates import CANDIDATES
from keras_invprune.reporting import savings
from keras_invprune_lab.cli.main import app, main
from keras_invprune_lab.runs import environment

ROOT = Path(__file__).resolve().parents[3]
SAVED = ROOT / "saved_models" / "digits" / "model.keras"


class Done(NamedTuple):
    """What is left of a command, named as by `subprocess`."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs the command in this process, which has imported TensorFlow already."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["keras-invprune", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Done(ended.value.code, *capsys.readouterr())

    return command


def test_sigterm_leaves_nothing_half_written(tmp_path, command, monkeypatch):
    def ended(*_, **__):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(keras.Model, "save", ended)
    before = signal.getsignal(signal.SIGTERM)
    try:
        done = command("export", SAVED, "--out", tmp_path / "files")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert done.returncode == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_runs_are_reported_compared_and_not_repeated(tmp_path, command):
    options = ("--dataset", "sklearn:wine", "--epochs", "2", "--batch-size", "16")
    for method in ("omp", "dense"):
        out = ("--out", tmp_path / method)
        done = command("run", *options, "--method", method, *out)
        assert done.returncode == 0, done.stderr
        assert "accuracy" in done.stdout
    report = (tmp_path / "omp" / "report.json").read_text()
    again = command("run", *options, "--method", "omp", "--out", tmp_path / "omp")
    assert again.returncode == 0
    assert (tmp_path / "omp" / "report.json").read_text() == report

    side_by_side = command("compare", tmp_path / "dense", tmp_path / "omp")
    assert side_by_side.returncode == 0
    assert "0 of" in side_by_side.stdout and "(90.0%)" not in side_by_side.stderr
    alone = command("report", tmp_path / "omp")
    assert f"{json.loads(report)['report']['parameters']:,}" in alone.stdout

    other = command("run", *options, "--seed", "1", "--out", tmp_path / "omp")
    assert other.returncode == 2
    assert "method: 'omp' there, 'iunet' asked" in other.stderr
    assert "seed: 0 there, 1 asked" in other.stderr


@pytest.mark.slow
def test_ctrl_c_and_the_same_command_again(tmp_path, command):
    line = ["run", "--dataset", "sklearn:wine", "--epochs", "40"]
    line += ["--out", str(tmp_path / "out")]
    # Alone, where nothing has been set up for it.
    alone = [sys.executable, "-m", "keras_invprune_lab.cli", *line]
    process = subprocess.Popen(alone, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    progress = tmp_path / "out.part" / "progress.json"
    deadline = time.monotonic() + 120
    while not progress.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130 and "the same command resumes" in errors
    assert not (tmp_path / "out").exists()
    done = len(json.loads(progress.read_text()))
    assert 0 < done < 40
    again = command(*line)
    assert again.returncode == 0, again.stderr
    history = (tmp_path / "out" / "history.csv").read_text().splitlines()
    assert [int(row.split(",")[0]) for row in history[1:]] == list(range(1, 41))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.slow
def test_a_keras_file_is_exported_and_reported(tmp_path, command):
    done = command("export", SAVED, "--out", tmp_path / "out", "--tflite", "float16")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "model.tflite").exists()
    done = command("report", SAVED)
    assert done.returncode == 0 and "76.0%" in done.stdout


@pytest.mark.slow
def test_the_best_file_for_a_target_is_written(tmp_path, command, monkeypatch):
    kinds = [kind for kind in CANDIDATES if kind.name in ("float32", "float16")]
    monkeypatch.setattr(planning, "CANDIDATES", kinds)
    options = "--target", "size", "--budget", "bytes=100000"
    out = "--out", tmp_path / "out"
    done = command("export", SAVED, *out, *options, "--dataset", "sklearn:digits")
    assert done.returncode == 0, done.stderr
    assert "at most 0.003 accuracy lost" in done.stdout
    assert "model.tflite is in" in done.stdout and " best" in done.stdout
    assert (tmp_path / "out" / "model.tflite").stat().st_size <= 100_000


@pytest.mark.slow
def test_savings_are_printed(command, monkeypatch):
    kinds = [kind for kind in CANDIDATES if kind.name == "float32, sparse"]
    monkeypatch.setattr(savings, "CANDIDATES", [CANDIDATES[0], *kinds])
    done = command("savings", SAVED, "--share", "0.9")
    assert done.returncode == 0, done.stderr
    assert "units" in done.stdout and "unstructured" in done.stdout


@pytest.mark.slow
def test_a_keras_file_is_compacted(tmp_path, command):
    small = tmp_path / "new" / "small.keras"
    done = command("compact", SAVED, "--out", small, "--gather")
    assert done.returncode == 0, done.stderr
    assert "parameters" in done.stdout and "has the same outputs" in done.stdout
    assert [path.name for path in small.parent.iterdir()] == ["small.keras"]
    again = command("compact", SAVED, "--out", small)
    assert again.returncode == 2 and "already exists" in again.stderr
    assert command("compact", small).stdout.count("→") == 2  # parameters and MACs
    rounded = command("compact", SAVED, "--round-to", 2).stdout
    units = re.findall(r"units \d+ → (\d+)", rounded)
    assert units and not any(int(number) % 2 for number in units)


def test_a_file_that_cannot_be_written_is_named(tmp_path, command):
    packed, below = tmp_path / "m.kip", tmp_path / "file" / "m.keras"
    (tmp_path / "file").write_text("mine")
    assert command("pack", SAVED, "--out", packed).returncode == 0
    for arguments in (("compact", SAVED), ("unpack", packed)):
        done = command(*arguments, "--out", below)
        assert done.returncode == 2 and f"{below} was not written: " in done.stderr
        assert "Choose another folder" in done.stderr
        assert ".keras_invprune" not in done.stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_a_file_that_could_not_be_compared_is_not_praised(
    tmp_path, command, monkeypatch
):
    monkeypatch.setattr(verify, "answered", lambda model: [])
    done = command("compact", SAVED, "--out", tmp_path / "small.keras")
    assert done.returncode == 0, done.stderr
    assert "was written, not compared" in done.stdout
    assert "same outputs" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "--dataset", "sklearn:digit"), "Did you mean 'digits'"),
        (("run", "--dataset", "sklearn:wine", "--method", "ompp"), "mean 'omp'"),
        (("run", "--dataset", "sklearn:wine", "--model", "ml"), "Did you mean"),
        (("run", "--dataset", "sklearn:wine", "--sparsity", "90"), "mean 0.9"),
        (("run", "--dataset", "sklearn:wine", "--budget", "mac=1"), "mean 'macs'"),
        (
            ("run", "--dataset", "x:y", "--method", "dense", "--sparsity", "0.5"),
            "prunes nothing",
        ),
        (("export", "no-such.keras"), "There is no file no-such.keras"),
        (("demo", "--sparsity", "90"), "mean 0.9"),
        (("compact", SAVED), "must end in .keras"),
        (("export", SAVED, "--max-loss", "0.1"), f"Add --target, one of {TARGETS}"),
        (("export", SAVED, "--target", "gpu"), "`--target` must be one of"),
        (
            ("export", SAVED, "--target", "any", "--tflite", "int8"),
            "Leave out --tflite",
        ),
        (("export", SAVED, "--target", "any", "--budget", "1MB"), "--budget 1MB"),
        (("export", SAVED, "--batch-size", "0"), "`--batch-size` must be"),
        (
            ("export", SAVED, "--dataset", "sklearn:wine"),
            "`--dataset` must have rows of shape (8, 8, 1)",
        ),
        (("pack", SAVED), "must end in .kip"),
        (("pack", "notes.txt"), "A .keras or .tflite file can be packed"),
        (("unpack", "no-such.kip"), "There is no file no-such.kip"),
        (("unpack", SAVED), "is not a packed file"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    tmp_path, command, arguments, message
):
    done = command(*arguments, "--out", tmp_path / "out")
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("keras-invprune: ") and message in last
    assert "Traceback" not in done.stderr and done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_files_are_packed_and_unpacked(tmp_path, command):
    small = tmp_path / "new" / "small.kip"
    done = command("pack", SAVED, "--out", small, "--bits", "4")
    assert done.returncode == 0, done.stderr
    assert "hidden_1/kernel" in done.stdout and "of the entropy" in done.stdout
    size = small.stat().st_size
    assert f"{size:,} bytes" in done.stdout
    rows = [line.split("│") for line in done.stdout.splitlines() if "│" in line]
    parts = [
        float(cell.replace(",", ""))
        for row in rows
        for cell in row[4:6]
        if cell.strip()
    ]
    assert sum(parts) == pytest.approx(size, abs=len(parts))
    assert "outputs differ by up to" in done.stdout
    done = command("unpack", small, "--out", tmp_path / "back.keras")
    assert done.returncode == 0, done.stderr
    assert command("report", tmp_path / "back.keras").returncode == 0
    for out, message in (
        (tmp_path / "back.keras", "already exists"),
        (tmp_path / "back.tflite", "must end in .keras"),
    ):
        done = command("unpack", small, "--out", out)
        assert done.returncode == 2 and message in done.stderr
    line = "unpack", small, "--out", tmp_path / "again.keras", "--limit"
    done = command(*line, "1000")
    assert done.returncode == 2 and "pass `--limit " in done.stderr
    declared = done.stderr.split("--limit ")[1].split("`")[0]
    assert command(*line, declared).returncode == 0
    lite = SAVED.with_name("model.tflite")
    assert command("pack", lite, "--out", tmp_path / "lite.kip").returncode == 0
    again = tmp_path / "back.tflite"
    assert command("unpack", tmp_path / "lite.kip", "--out", again).returncode == 0
    assert again.read_bytes() == lite.read_bytes()
    assert len(list(tmp_path.iterdir())) == 5


def test_an_unpacked_model_that_is_saved_with_other_outputs_is_not_kept(
    tmp_path, command, monkeypatch
):
    small = tmp_path / "small.kip"
    assert command("pack", SAVED, "--out", small).returncode == 0
    other = keras.saving.load_model(SAVED, compile=False)
    other.set_weights([weight + 1 for weight in other.get_weights()])
    monkeypatch.setattr(keras.saving, "load_model", lambda *_, **options: other)
    done = command("unpack", small, "--out", tmp_path / "back.keras")
    assert done.returncode == 2 and "different outputs" in done.stderr
    assert list(tmp_path.iterdir()) == [small]


def test_tracebacks_are_shown_when_asked_for(tmp_path, monkeypatch):
    line = ["--debug", "run", "--dataset", "sklearn:digit"]
    line += ["--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["keras-invprune", *line])
    with pytest.raises(ValueError, match="Did you mean 'digits'"):
        main()


def test_a_folder_that_is_a_file_or_holds_something_else(tmp_path, command):
    options = ("run", "--dataset", "sklearn:wine", "--out")
    (tmp_path / "file").write_text("")
    done = command(*options, tmp_path / "file")
    assert done.returncode == 2 and "must be a folder" in done.stderr
    shutil.copy(SAVED, tmp_path / "mine.keras")
    done = command(*options, tmp_path)
    assert done.returncode == 2 and "mine.keras" in done.stderr


@pytest.mark.parametrize("arguments", [("run", "--dataset", "sklearn:wine"), ("demo",)])
def test_a_disk_without_room_is_one_line_before_training(tmp_path, command, arguments):
    with small_disk(tmp_path / "disk", 500) as disk:
        done = command(*arguments, "--out", disk / "out")
        assert done.returncode == 2
        last = done.stderr.strip().splitlines()[-1]
        assert "are free. Make room" in last and "Traceback" not in done.stderr
        assert list(disk.iterdir()) == []


def test_what_is_no_run_cannot_be_reported(tmp_path, command):
    done = command("report", tmp_path)
    assert done.returncode == 2 and "neither a .keras file nor" in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run/report.json", "[1]", "is not the report of `keras-invprune run`"),
        ("run/report.json", "{", "report.json is not JSON"),
        ("model.keras", "text", "is not a .keras file"),
    ],
)
def test_files_that_are_something_else(name, content, message, tmp_path):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(content)
    path = file if file.suffix == ".keras" else file.parent
    found = CliRunner().invoke(app, ["report", str(path)])
    assert isinstance(found.exception, ValueError)
    assert message in str(found.exception)


def test_env_names_versions_devices_and_extras():
    found = CliRunner().invoke(app, ["env"])
    assert found.exit_code == 0, found.output
    lines = [line.strip() for line in found.output.splitlines()]
    for name in ("keras-invprune", "keras", "tensorflow", "scikit-learn"):
        assert f"{name} {metadata.version(name)}" in lines
    assert f"python {platform.python_version()}" in found.output
    assert "CPU" in found.output
    assert {"extra bench", "extra data", "extra demo"} <= set(lines)
    assert not {"keras missing", "keras-invprune missing"} & set(lines)


def test_env_says_what_is_missing(monkeypatch):
    required = ["nothing-of-this-name>=1", 'other-name; extra == "bench"']
    monkeypatch.setattr(environment, "requires", lambda name: required)
    assert environment.installed() == {
        "keras-invprune": {
            "keras-invprune": metadata.version("keras-invprune"),
            "nothing-of-this-name": "missing",
        },
        "extra bench": {"other-name": "missing"},
    }


@pytest.mark.parametrize(
    "given",
    [
        ["demo"],
        ["run", "--dataset", "sklearn:digits", "--out", "new"],
        ["export", SAVED],
        ["structure", "predict", "table.csv"],
    ],
)
def test_seeds_below_0_are_refused_by_name(command, given):
    done = command(*given, "--seed", "-1")
    assert done.returncode == 2
    assert "Invalid value for '--seed'" in done.stderr
