"""Python uses no compiled function that has no way in from Python, and proof that the check can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.compiled_calls import uses_from_python
from tests.architecture.rules import files

ROOT = Path(__file__).parents[2]
LEGS = "@njit_inner\ndef move(book):\n    pass\n\n\n@njit_inlined\ndef near(book):\n    move(book)\n"


def test_python_uses_no_function_without_a_way_in() -> None:
    sources = {path: (ROOT / path).read_text() for path in files(ROOT) if path.endswith(".py")}
    assert "write_side/ledger/rules/legs.py" in sources
    assert uses_from_python(sources) == []


@pytest.mark.parametrize(
    "source",
    [
        "from write_side.ledger.rules.legs import move\n\n\ndef run(book):\n    move(book)\n",
        "from write_side.ledger.rules.legs import near as close\nclose(1)\n",
        "from write_side.ledger import legs\nlegs.move(1)\n",
        "from write_side.ledger.rules.legs import move\nkept = move\n",
    ],
)
def test_a_use_in_python_is_found(source: str) -> None:
    assert len(uses_from_python({"write_side/ledger/rules/legs.py": LEGS, "write_side/writer.py": source})) == 1


def test_a_use_in_its_own_file_is_found() -> None:
    assert uses_from_python({"write_side/ledger/rules/legs.py": LEGS + "\n\ndef run(book):\n    near(book)\n"}) == [
        "write_side/ledger/rules/legs.py:12 near"
    ]


@pytest.mark.parametrize("decorator", ["njit", "njit(cache=True)", "njit_borrowing", "njit_inner"])
def test_compiled_code_may_call_it(decorator: str) -> None:
    caller = f"from write_side.ledger.rules.legs import move\n\n\n@{decorator}\ndef run(book):\n    move(book)\n"
    assert uses_from_python({"write_side/ledger/rules/legs.py": LEGS, "write_side/ledger/rules.py": caller}) == []


def test_another_function_of_the_name_is_no_matter() -> None:
    other = "from fanfold.client import move\nmove(1)\n"
    assert uses_from_python({"write_side/ledger/rules/legs.py": LEGS, "fanfold/cli/accounts.py": other}) == []
