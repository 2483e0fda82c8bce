"""Which file `FANFOLD_VIEW` names, and who else reaches such a view."""

from __future__ import annotations

from pathlib import Path

import pytest

from read_side.settings import ReadSettings


@pytest.mark.parametrize(
    ("address", "file"),
    [
        ("sqlite:view.db", Path("view.db")),
        ("sqlite:/srv/wallet/view.db", Path("/srv/wallet/view.db")),
        ("sqlite:///srv/wallet/view.db", Path("/srv/wallet/view.db")),
        ("memory", None),
        ("redis://localhost:6379/0", None),
    ],
)
def test_the_file_is_what_comes_after_the_scheme(address: str, file: Path | None) -> None:
    settings = ReadSettings(view=address)
    assert settings.view_file() == file
    assert settings.view_is_of_one_process == (not address.startswith("redis"))


@pytest.mark.parametrize("address", ["sqlite:", "sqlite:///", "sqlite:~/view.db", "sqlite::memory:"])
def test_what_names_no_file_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="must name a file"):
        ReadSettings(view=address).view_file()
