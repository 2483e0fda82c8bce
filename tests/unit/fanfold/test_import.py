"""Importing a file as a person does it: mended, grown, exported again, piped; money moves once, what does not is told."""

from __future__ import annotations

import codecs
import csv
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fanfold.cli import import_csv
from fanfold.cli.main import app
from fanfold.rows import Row, former_row_id
from tests.unit.fanfold.stub_wallet import StubWallet
from tests.unit.fanfold.test_cli import run

ROOT = Path(__file__).parents[3]
HEADING = "transaction,account,amount"


def _file(folder: Path, *lines: str, name: str = "rows.csv") -> str:
    path = folder / name
    text = "\n".join(["transaction,account,amount", *lines]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return str(path)


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
def test_import_twice_moves_no_money_twice(wallet: StubWallet, tmp_path: Path, name: str) -> None:
    file = _file(tmp_path, "1,a,700", "2,b,50", "3,a,-900", "4,b,0", "4,b,1", "4,b,1", name=name)
    first = json.loads(run("import", file, "--asset", "CZK/2", "--minor", "--json").stdout)
    counts = ("rows", "accounts_opened", "done", "repeated", "refused", "skipped_zero")
    assert [first[name] for name in counts] == [6, 2, 5, 0, 0, 1]
    second = json.loads(run("import", file, "--asset", "CZK/2", "--minor", "--json").stdout)
    assert [second[name] for name in counts] == [6, 0, 0, 5, 0, 1]
    assert (wallet.state("a")["posted"], wallet.state("b")["posted"]) == ("-200", "52")
    assert wallet.state("a")["floor"] is None


@pytest.mark.parametrize(("first", "then"), [("--minor", "--major"), ("--major", "--minor")])
def test_a_file_that_was_imported_in_the_other_unit_is_not_paid_again(
    wallet: StubWallet, tmp_path: Path, first: str, then: str
) -> None:
    file = _file(tmp_path, "1,a,700", "2,b,50", "2,b,5000")
    run("import", file, "--asset", "CZK/2", first)
    paid = wallet.state("a")["posted"]
    assert "other unit" in run("import", file, "--asset", "CZK/2", then, code=1).stderr
    assert wallet.state("a")["posted"] == paid
    assert "3 repeated" in run("import", file, "--asset", "CZK/2", first).stdout


def test_import_ends_with_1_and_a_table_when_rows_were_refused(wallet: StubWallet, tmp_path: Path) -> None:
    file = _file(tmp_path, "1,a,700", "2,a,-900", "3,a,nonsense", "4,not an id,5", "5,a,1")
    result = run("import", file, "--asset", "CZK/2", "--minor", "--floor", "0", code=1)
    assert "5 rows: 2 done, 0 repeated, 3 refused" in result.stdout
    for code in ("insufficient_available", "amount_malformed", "account_malformed"):
        assert code in result.stdout
    assert "nonsense" not in result.output
    assert wallet.state("a")["posted"] == "701"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "lacks the columns"),
        (b"a,b\n1,2\n", "lacks the columns"),
        (b"transaction,account,amount\n\xff\xff,a,1\n", "not a CSV file"),
    ],
)
def test_file_that_is_no_transaction_file_is_a_sentence(
    wallet: StubWallet, tmp_path: Path, content: bytes, told: str
) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    assert told in run("import", str(path), "--asset", "CZK/2", "--minor", code=1).stderr
    torn = tmp_path / "torn.csv.gz"
    torn.write_bytes(gzip.compress(b"transaction,account,amount\n" + b"1,a,1\n" * 9)[:-12])
    run("import", str(torn), "--asset", "CZK/2", "--minor", code=1)
    assert "cannot be read" in run("import", str(tmp_path / "missing.csv"), "--asset", "CZK/2", code=1).stderr


def test_import_of_the_bank_ends_at_its_own_balances(wallet: StubWallet) -> None:
    """The bank's last `balance_after` of every account, which nobody here computed."""
    file = ROOT / "tests/data/pkdd99-transactions.csv.gz"
    summary = json.loads(run("import", str(file), "--asset", "CZK/2", "--minor", "--json").stdout)
    with gzip.open(file, "rt") as text:
        last = {row["account"]: row["balance_after"] for row in csv.DictReader(text)}
    assert summary["rows"] == summary["done"] + summary["skipped_zero"] == 49_070
    assert summary["accounts_opened"] == len(last) == 1_229
    assert {account: wallet.state(account)["posted"] for account in last} == last


MINOR = ("--asset", "USD/2", "--minor", "--json")


def _imported(folder: Path, text: str | bytes, *more: str, code: int = 0) -> dict[str, Any]:
    path = folder / "rows.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    summary: dict[str, Any] = json.loads(run("import", str(path), *(more or MINOR), code=code).stdout)
    return summary


def _refused(folder: Path, text: str | bytes, *more: str, code: int = 1) -> str:
    path = folder / "rows.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return run("import", str(path), *(more or MINOR), code=code).stderr


PAID = "transaction,account,amount,date\n1,a,100,monday\n2,b,250,tuesday\n"

SAME: dict[str, str | bytes] = {
    "an amount with a zero in front": PAID.replace(",100", ",0100"),
    "blanks around cells": PAID.replace("1,a,100", " 1 ,\ta, 100\u00a0"),
    "reordered columns": "date,amount,account,transaction\nmonday,100,a,1\ntuesday,250,b,2\n",
    "quotes": PAID.replace("monday", '"monday"'),
    "other line ends": PAID.replace("\n", "\r\n"),
    "a mark at its beginning": codecs.BOM_UTF8 + PAID.encode(),
    "an empty column": PAID.replace("\n", ",\n").replace("date,", "date,note"),
    "reordered rows": "transaction,account,amount,date\n2,b,250,tuesday\n1,a,100,monday\n",
}


@pytest.mark.parametrize("how", SAME)
def test_a_file_written_otherwise_is_the_same_file(wallet: StubWallet, tmp_path: Path, how: str) -> None:
    assert _imported(tmp_path, PAID)["done"] == 2
    again = _imported(tmp_path, SAME[how])
    assert (again["done"], again["repeated"], again["refused"], again["differing"]) == (0, 2, 0, 0)
    assert (wallet.state("a")["posted"], wallet.state("b")["posted"]) == ("100", "250")


def test_amounts_of_either_unit_are_the_same_row(wallet: StubWallet, tmp_path: Path) -> None:
    assert _imported(tmp_path, f"{HEADING}\n1,a,1250\n2,a,-50\n")["done"] == 2
    again = _imported(tmp_path, f"{HEADING}\n1,a,12.5\n2,a,-0.50\n", "--asset", "USD/2", "--json")
    assert (again["done"], again["repeated"]) == (0, 2)


DIFFERENT = {
    "an added column": PAID.replace("\n", ",x\n").replace("date,x", "date,note"),
    "a left out column": f"{HEADING}\n1,a,100\n2,b,250\n",
    "another cell": PAID.replace("monday", "wednesday").replace("tuesday", "friday"),
    "a transaction without its zeros": PAID,
}


@pytest.mark.parametrize("how", DIFFERENT)
def test_what_differs_besides_moves_nothing_again_and_is_told(wallet: StubWallet, tmp_path: Path, how: str) -> None:
    """It may be the same file with a column more, or another payment that looks alike: a person must look."""
    first = PAID.replace("\n1", "\n001").replace("\n2", "\n002") if "zeros" in how else PAID
    assert _imported(tmp_path, first)["done"] == 2
    again = _imported(tmp_path, DIFFERENT[how], code=1)
    assert (again["done"], again["repeated"], again["differing"]) == (0, 0, 2)
    assert [note["line"] for note in again["notes"]] == [2, 3]
    assert wallet.state("a")["posted"] == "100"
    told = run("import", str(tmp_path / "rows.csv"), "--asset", "USD/2", "--minor", code=1).stdout
    assert "2 moved nothing and differ from what was imported" in told


def test_rows_that_are_one_transaction_twice_are_both_moved_and_told(wallet: StubWallet, tmp_path: Path) -> None:
    summary = _imported(tmp_path, "transaction,account,amount,date\n1,a,5,mon\n1,a,5,tue\n1,a,5,mon\n")
    assert (summary["done"], summary["alike"]) == (3, 2)
    assert [(note["line"], "other cells" in note["reason"]) for note in summary["notes"]] == [(3, True), (4, False)]
    assert _imported(tmp_path, "transaction,account,amount,date\n1,a,5,mon\n1,a,5,tue\n1,a,5,mon\n")["repeated"] == 3


def test_a_column_of_ids_names_its_rows(wallet: StubWallet, tmp_path: Path) -> None:
    id = "01970f3e-7b1a-7c3e-8a2b-1234567890ab"
    file = f"id,account,amount,note\n{id},a,100,x\nrow 2,a,100,y\n"
    assert _imported(tmp_path, file)["done"] == 2
    assert id in run("transfer", "@world", "a", "1", "USD/2", "--id", id).stdout  # it is this transfer's id
    again = _imported(tmp_path, file.replace(",x", ",z").replace("100", "0100"))
    assert (again["done"], again["repeated"]) == (0, 2)
    changed = _imported(tmp_path, file.replace("a,100,y", "a,200,y"), code=1)
    assert (changed["repeated"], changed["refused"]) == (1, 1)
    assert changed["refusals"][0]["code"] == "id_reused_with_other_content"
    assert "Lines 2 and 4 have the same `id`" in _refused(tmp_path, f"{file}{id},b,1,\n")
    assert _imported(tmp_path, "id,account,amount\n,a,1\n", code=1)["refusals"][0]["code"] == "id_missing"
    assert wallet.state("a")["posted"] == "200"


def test_a_refused_row_imported_again_is_told_to_be_the_old_answer(wallet: StubWallet, tmp_path: Path) -> None:
    floor = ("--asset", "USD/2", "--minor", "--floor", "0")
    first = _imported(tmp_path, f"{HEADING}\n1,a,-5\n", *floor, "--json", code=1)
    assert (first["refused"], first["refused_earlier"]) == (1, 0)
    run("transfer", "@world", "a", "1", "USD/2")
    again = _imported(tmp_path, f"{HEADING}\n1,a,-5\n", *floor, "--json", code=1)
    assert (again["refused"], again["refused_earlier"]) == (1, 1)
    told = run("import", str(tmp_path / "rows.csv"), *floor, code=1).stdout
    assert "the answer of an earlier import, not tried again" in told
    assert "give it another `transaction`" in told
    assert _imported(tmp_path, f"{HEADING}\n1 again,a,-5\n", *floor, "--json")["done"] == 1


def test_a_malformed_row_is_mended_under_its_own_transaction(wallet: StubWallet, tmp_path: Path) -> None:
    """Another one would pay again what an earlier import has paid."""
    usd = ("--asset", "USD/2", "--minor")
    _imported(tmp_path, f"{HEADING}\n1,a,300\n", *usd, "--json")
    told = _imported(tmp_path, f"{HEADING}\n1,a,+300\n2,not an id,5\n", *usd, "--json", code=1)
    assert (told["refused"], told["not_asked"]) == (2, 2)
    told_in_words = run("import", str(tmp_path / "rows.csv"), *usd, code=1).stdout
    assert "Leave its `transaction` as it is" in told_in_words
    assert "keeps its answer" not in told_in_words
    assert _imported(tmp_path, f"{HEADING}\n1,a,300\n2,b,5\n", *usd, "--json")["done"] == 1
    assert wallet.state("a")["posted"] == "300"


UUID_ID = "0a970f3e-7b1a-4c3e-8a2b-1234567890ab"

BAD: dict[str, tuple[str | bytes, str]] = {
    "an unclosed quote": (
        'transaction,account,amount,note\nt1,u1,100,ok\nt2,u2,200,"unfinished\nt3,u3,300,ok\n',
        'Line 3 opens a quote (") that is never closed',
    ),
    "two quotes without partners": (
        'transaction,account,amount,note\nt1,u1,100,"x\nt2,u2,200,y\nt3,u3,300,"\nt4,u4,1,z\n',
        'Line 2 opens a quote (") that goes on over whole rows',
    ),
    "one row between two such quotes": (
        'transaction,account,amount,note\nt1,u1,100,"x\nt3,u3,300,"\n',
        'Line 2 opens a quote (") that goes on over whole rows',
    ),
    "short rows between two such quotes": (
        'transaction,account,amount,note\nt1,u1,100,"unfinished\nt2,u2,200\nt3,u3,300"\nt4,u4,400,x\n',
        'Line 2 opens a quote (") that goes on over whole rows',
    ),
    "one id in two spellings": (
        f"id,account,amount\n{UUID_ID},a,7\n{UUID_ID.upper()},a,7\n",
        "Lines 2 and 3 have the same `id`",
    ),
    "one id with hyphens and without": (
        f"id,account,amount\n{UUID_ID},a,7\n{{{UUID_ID.replace('-', '')}}},b,9\n",
        "Lines 2 and 3 have the same `id`",
    ),
    "a text behind a quote": (
        'transaction,account,amount\n1,"a"b,1\n',
        "Line 2 has a text right behind a closing quote",
    ),
    "a quote that swallows a large file": (
        'transaction,account,amount,n\nt1,u1,1,"x\n' + "t2,u2,2,y\n" * 20_000,
        "Line 2 has a cell of more than",
    ),
    "semicolons": ("transaction;account;amount\n1;a;1\n", "parted by semicolons, not by commas: say --separator ';'"),
    "tabs": ("transaction\taccount\tamount\n1\ta\t1\n", "parted by tabs, not by commas: say --separator 'tab'"),
    "two equal headings": ("transaction,account,amount,amount\n1,a,1,2\n", "two columns `amount`"),
    "capital letters": ("Transaction,Account,Amount\n1,a,1\n", "Names are written in small letters"),
    "UTF-16": (codecs.BOM_UTF16_LE + PAID.encode("utf-16-le"), "It is UTF-16"),
    "UTF-16 without a mark": (PAID.encode("utf-16-be"), "UTF-16 without a mark"),
    "another encoding": (PAID.replace("tues", "d\u00e9c").encode("cp1252"), "Line 3 has the byte 0xe9"),
    "a spreadsheet": (b"PK\x03\x04" + bytes(99), "save it as CSV"),
    "nothing": ("", "lacks the columns"),
    "a packed file cut short": (gzip.compress(PAID.encode())[:-9], "cannot be unpacked"),
}
"""Files that would lose rows, or pay wrong ones: what is wrong is named, and nothing of them is imported."""


@pytest.mark.parametrize("through", ["file", "stdin"])
@pytest.mark.parametrize("how", BAD)
def test_a_file_that_cannot_be_trusted_is_named_before_any_money_moves(
    wallet: StubWallet, tmp_path: Path, how: str, through: str
) -> None:
    content, told = BAD[how]
    raw = content if isinstance(content, bytes) else content.encode()
    if through == "file":
        errors = _refused(tmp_path, raw)
    else:
        result = CliRunner().invoke(app, ["import", "-", *MINOR], input=raw)
        assert result.exit_code == 1
        errors = result.stderr
        assert "Standard input: " in errors
    assert told in errors
    assert wallet.block == -1


@pytest.mark.parametrize("how", SAME)
def test_standard_input_takes_what_a_file_takes(wallet: StubWallet, how: str) -> None:
    file = SAME[how]
    raw = file if isinstance(file, bytes) else file.encode()
    for taken in (raw, gzip.compress(raw), raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r")):
        done = CliRunner().invoke(app, ["import", "-", *MINOR], input=taken)
        assert done.exit_code == 0, done.output
    assert wallet.state("a")["posted"] == "100"


def test_a_closed_or_foreign_standard_input_is_no_traceback(wallet: StubWallet) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = f"{sys.executable} -m fanfold.cli.main import - --asset USD/2 --minor"
    for shell, told in (
        (f"{command} <&-", "It is closed"),
        (f"printf 'a\\xff' | {command}", "Line 1 has the byte 0xff"),
    ):
        done = subprocess.run(
            ["bash", "-c", shell], capture_output=True, text=True, cwd=ROOT, env=environment, check=False
        )
        assert done.returncode == 1
        assert told in done.stderr
        assert "Traceback" not in done.stderr


def test_line_numbers_are_those_of_the_file(wallet: StubWallet, tmp_path: Path) -> None:
    text = 'transaction,account,amount,note\n1,a,1,"two\nlines"\n2,a,x,\n\n3,a,1,"three\r\nmore\rlines"\n4,a,y,\n'
    refusals = _imported(tmp_path, text, code=1)["refusals"]
    assert [row["line"] for row in refusals] == [4, 5, 9]


@pytest.mark.parametrize("separator", [";", "tab", "|"])
def test_other_separators_are_said(wallet: StubWallet, tmp_path: Path, separator: str) -> None:
    text = PAID.replace(",", "\t" if separator == "tab" else separator)
    assert _imported(tmp_path, text, *MINOR, "--separator", separator)["done"] == 2
    assert _imported(tmp_path, PAID)["repeated"] == 2


def test_amounts_that_could_be_cents_or_dollars_are_asked_about(wallet: StubWallet, tmp_path: Path) -> None:
    """What former versions took for 1.00 is 100.00 at the prompt now: a file must say which it means."""
    told = _refused(tmp_path, PAID, "--asset", "USD/2")
    assert "Line 2 has the amount 100, and USD/2 has decimals: say --major" in told
    assert wallet.block == -1
    assert _imported(tmp_path, PAID, "--asset", "USD/2", "--major", "--json")["done"] == 2
    assert wallet.state("a")["posted"] == "10000"
    points = _imported(tmp_path, f"{HEADING}\n1,p,100\n", "--asset", "PTS/0", "--json")
    assert (points["done"], wallet.state("p")["posted"]) == (1, "100")
    (tmp_path / "rows.csv").write_text(PAID)
    run("import", str(tmp_path / "rows.csv"), code=2)  # --asset is needed
    run("import", str(tmp_path / "rows.csv"), "--asset", "usd", code=2)
    run("import", str(tmp_path / "rows.csv"), "--asset", "USD/2", "--floor", "0.005", code=2)
    run("import", str(tmp_path / "rows.csv"), "--asset", "USD/2", "--separator", ";;", code=2)


def _imported_by_a_former_version(text: str, asset: str) -> None:
    """As version 0.1 did it: ids of all cells, nothing besides."""
    for _, account, amount, *rest in list(csv.reader(text.splitlines()))[1:]:
        run("open", account, asset, "--floor", "none")
        id = former_row_id([_, account, amount, *rest], 1, asset)
        run("transfer", "@world", account, amount, asset, "--minor", "--id", id)


@pytest.mark.parametrize("asset", ["USD/2", "PTS/0"])
def test_a_file_that_a_former_version_imported_is_not_moved_again(
    wallet: StubWallet, tmp_path: Path, asset: str
) -> None:
    _imported_by_a_former_version(PAID, asset)
    units = ("--minor",) if asset == "USD/2" else ()
    longer = PAID + "".join(f"n{number},b,1,x\n" for number in range(200))
    assert "imported by a former version" in _refused(tmp_path, longer, "--asset", asset, *units)
    assert wallet.state("b")["posted"] == "250"
    former = _imported(tmp_path, PAID + "3,b,1,x\n", "--asset", asset, "--former-ids", "--json")
    assert (former["done"], former["repeated"]) == (1, 2)
    assert wallet.state("b")["posted"] == "251"


def test_former_ids_are_not_for_a_file_that_was_imported_without_them(wallet: StubWallet, tmp_path: Path) -> None:
    _imported(tmp_path, PAID)
    assert "was imported without --former-ids" in _refused(tmp_path, PAID, "--asset", "USD/2", "--former-ids")
    assert wallet.state("a")["posted"] == "100"


def test_an_import_that_cannot_be_told_is_no_refusal(wallet: StubWallet, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(PAID)
    command = f"{sys.executable} -m fanfold.cli.main import {tmp_path}/rows.csv --asset USD/2 --minor"
    for shell in ("> /dev/full", "> /dev/full 2> /dev/full", "2> /dev/full | head -c 0; exit ${PIPESTATUS[0]}"):
        done = subprocess.run(
            ["bash", "-c", f"{command} {shell}"], capture_output=True, text=True, cwd=ROOT, check=False
        )
        assert done.returncode == 4
        assert "Traceback" not in done.stderr
        if "2>" not in shell:
            assert "2 rows: 2 done" in done.stderr


def test_repeated_rows_are_told_though_the_account_has_other_terms(wallet: StubWallet, tmp_path: Path) -> None:
    run("open", "a", "USD/2")
    assert _imported(tmp_path, PAID)["done"] == 2
    again = _imported(tmp_path, PAID)
    assert (again["done"], again["repeated"]) == (0, 2)


def test_a_file_that_changes_while_it_is_read_says_how_much_is_in(
    wallet: StubWallet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(PAID)
    checked = import_csv._checked

    def changed_afterwards(*given: Any) -> tuple[int, list[Row]]:
        found = checked(*given)
        path.write_text(PAID.replace("2,b", '2,"b'))
        return found

    monkeypatch.setattr(import_csv, "_checked", changed_afterwards)
    told = run("import", str(path), "--asset", "USD/2", "--minor", code=1).stderr
    assert "It changed while it was read, or cannot be read again. 0 rows are in." in told
