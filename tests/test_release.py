"""What the release workflow does, as far as it can be done here."""

import os
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_a_release_has_the_addresses_of_its_repository(tmp_path):
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    steps = workflow["jobs"]["build"]["steps"]
    commands = [step.get("run", "") for step in steps]
    added = next(n for n, run in enumerate(commands) if "project.urls" in run)
    assert added < commands.index("make wheel")

    file = tmp_path / "pyproject.toml"
    before = (ROOT / "pyproject.toml").read_text()
    file.write_text(before)
    known = {
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "someone/pruning",
        "GITHUB_REPOSITORY_OWNER": "someone",
        "GITHUB_REF_NAME": "v0.2.0",
    }
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands[added]],
        cwd=tmp_path,
        env=os.environ | known,
        check=True,
    )

    after = tomllib.loads(file.read_text())
    assert after["project"].pop("urls") == {
        "Documentation": "https://someone.github.io/pruning/",
        "Repository": "https://github.com/someone/pruning",
        "Issues": "https://github.com/someone/pruning/issues",
        "Changelog": "https://github.com/someone/pruning/blob/v0.2.0/CHANGELOG.md",
    }
    assert after == tomllib.loads(before)
