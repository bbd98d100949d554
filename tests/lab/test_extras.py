"""What to install when a library is missing."""

import pytest

from keras_invprune_lab.extras import needed


def test_a_missing_library_is_named_with_its_extras():
    with pytest.raises(ImportError) as caught, needed("bench,structure", "searches"):
        import no_such_library  # noqa: F401
    assert str(caught.value) == (
        "no_such_library is missing: pip install '.[bench,structure]' installs what "
        "searches need."
    )
