"""A rebuild or a rollback, done where the view can be reached: in the process that serves it, or from here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from deploy.named_log import about_view, embedded_folder, view_outlives_process
from fanfold.cli.in_process import done_in_process
from fanfold.cli.output import complain


async def work_on_view(
    wanted: str,
    how: dict[str, Any],
    here: Callable[[], Awaitable[dict[str, Any]]],
    on_progress: Callable[[dict[str, Any]], None],
    view: str,
) -> dict[str, Any]:
    """The result's document. wanted, how: as the process that serves the view is asked; here: the same from here; view: where it
    is, "" for where the settings say. Raises ValueError, and as `here` does."""
    folder = embedded_folder(view)
    complain(f"{wanted} of {about_view(view)}")
    if folder is None:
        return await here()
    try:
        return await done_in_process(folder, wanted, how, on_progress, ": it is ended then")
    except (FileNotFoundError, ConnectionRefusedError):
        if view_outlives_process(view):
            return await here()
        raise ValueError(
            f"no fanfold is running over {folder}. A view in memory lives in that process, and is made again at each of "
            "its starts."
        ) from None
