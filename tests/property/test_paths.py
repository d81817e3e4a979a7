"""Paths of manifests against the standard library's opinion."""

import posixpath

from hypothesis import given
from hypothesis import strategies as st

from distribute.core.manifest import is_inside

paths = st.lists(st.sampled_from(["..", ".", "", "a", "b", "..a"]), max_size=8).map("/".join) | st.text()


@given(paths)
def test_a_path_stays_inside_exactly_where_its_normal_form_does(path: str) -> None:
    normal = posixpath.normpath(path)
    leaves = normal == ".." or normal.startswith(("../", "/"))
    assert is_inside(path) is (bool(path) and "\0" not in path and not leaves)
