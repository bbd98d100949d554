"""Fixtures of the tests of exports."""

import pytest


@pytest.fixture
def folder(tmp_path):
    """Where to export to; whatever happens, nothing else may lie next to it."""
    parent = tmp_path / "models"
    parent.mkdir()
    yield parent / "mine"
    assert [path.name for path in parent.iterdir()] in ([], ["mine"])
