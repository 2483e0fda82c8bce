"""Progress on standard error, one line as wide as the terminal: the bar and names give way, and no figure is ever cut."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
from rich.table import Column


def kept() -> Column:
    """How wide a figure is, it stays."""
    return Column(no_wrap=True)


def progress_line(name: str, *figures: ProgressColumn, quiet: bool, console: Console | None = None) -> Progress:
    """name: a text, in which `{task.description}` stands for what is under way. figures: made with `table_column=kept()`.

    Drawn on a terminal only, and gone at the end.
    """
    seen = console is not None or (sys.stderr is not None and sys.stderr.isatty())
    gives_way = TextColumn(name, markup=False, table_column=Column(no_wrap=False, overflow="ellipsis", max_width=24))
    return Progress(
        gives_way,
        BarColumn(),
        *figures,
        console=console or Console(stderr=True),
        disable=quiet or not seen,
        transient=True,
    )
