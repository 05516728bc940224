"""Resources are found in every layout in which they ship."""

from __future__ import annotations

from pathlib import Path

import pytest

from TemporalGliomaRisk.errors import UsageError
from TemporalGliomaRisk.resources import resource_path


def write_resource(folder: Path, content: str) -> Path:
    """A file Models/tiny/card.md in a Resources folder."""
    path = folder / "Resources" / "Models" / "tiny" / "card.md"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    return path


def test_resources_beside_the_package_are_found_as_in_the_source_tree(tmp_path: Path) -> None:
    path = write_resource(tmp_path, "beside")

    assert resource_path("Models/tiny/card.md", package=tmp_path / "Package") == path


def test_resources_inside_the_package_win_as_in_a_wheel_among_other_packages(tmp_path: Path) -> None:
    write_resource(tmp_path, "of another package")
    path = write_resource(tmp_path / "Package", "inside")

    assert resource_path("Models/tiny/card.md", package=tmp_path / "Package") == path


def test_this_source_tree_has_its_folder_of_models() -> None:
    assert resource_path("Models").parent.parent == Path(__file__).resolve().parents[3]


def test_an_absent_resource_is_named_with_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"Resources/Models/none is not part of this installation.*Install"):
        resource_path("Models/none")


@pytest.mark.parametrize("name", ["../pyproject.toml", "/etc/passwd", "Models/../../LICENSE"])
def test_a_name_never_leads_out_of_the_resources(name: str) -> None:
    with pytest.raises(UsageError, match="inside Resources/"):
        resource_path(name)
