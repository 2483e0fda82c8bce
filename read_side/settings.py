"""What the read side can be told. Every variable is read from the environment with the prefix `FANFOLD_`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class ReadSettings(BaseSettings):
    """Defaults serve one process on one machine."""

    model_config = SettingsConfigDict(env_prefix="FANFOLD_", env_ignore_empty=True, extra="ignore")

    view: str = Field(
        "memory",
        description="where views are: `memory`; `sqlite:FILE`, which one process writes and any other asks with SQL; or "
        "`redis://host:6379/0` (a server, or a node of a Redis Cluster), which any process reads, and where the feed is, too",
    )
    archive: str = Field(
        "",
        description="where history is kept, so that the past can be asked: `file:FOLDER`, or `off`; default: the folder "
        "`archive` in the data folder of a file log, `off` over Kafka",
    )
    view_prefix: str = Field("fanfold", description="how the names of all keys in Redis begin")
    project_partitions: Annotated[str, NoDecode] = Field(
        "", description="partitions this process projects, `0,2`; empty: all"
    )
    topics: Annotated[str, NoDecode] = Field(
        "",
        description="projections whose questions are answered as topics of the stream, `my_module:Leaderboard,...`, each kept in "
        "`topics/NAME.db` in the data folder by `fanfold up`, or by every `fanfold projector` (one of them tells it); a gateway "
        "beside them has to have the setting, too, and none of the code",
    )
    webhooks: str = Field(
        "",
        description="the file of the webhooks, which `fanfold webhook` keeps and `fanfold up` or `fanfold webhooks` delivers "
        "from; default: `webhooks.db` in the data folder; `off`: none are delivered",
    )
    webhooks_port: int = Field(8083, ge=0, le=65535, description="port of `fanfold webhooks` on loopback")
    read_port: int = Field(8082, ge=0, le=65535, description="port of `fanfold projector` on loopback")

    def view_file(self) -> Path | None:
        """The file of a view in SQLite; None for a view elsewhere. Raises ValueError for what names no file."""
        scheme, _, path = self.view.partition(":")
        if scheme != "sqlite":
            return None
        path = path.removeprefix("//")
        if not path.strip("/") or path.startswith(("~", ":")):
            raise ValueError("FANFOLD_VIEW must name a file after sqlite: such as sqlite:./data/view.db")
        return Path(path)

    @property
    def view_is_of_one_process(self) -> bool:
        """Whether only the process that projects reaches the view, and the feed beside it."""
        return self.view == "memory" or self.view_file() is not None

    def archive_folder(self, log_address: str) -> Path | None:
        """None: no history is kept. Raises ValueError for what names no folder."""
        address = self.archive
        if not address and log_address.startswith("file:"):
            address = f"{log_address}/archive"
        if address in ("", "off"):
            return None
        scheme, _, folder = address.partition(":")
        if scheme != "file" or not folder.strip("/") or folder.startswith("~"):
            raise ValueError("FANFOLD_ARCHIVE must be off, or file: and the path of a folder")
        return Path(folder.removeprefix("//"))

    def webhooks_file(self, data_folder: Path) -> Path | None:
        """None: no webhooks are delivered here. Raises ValueError for what names no file."""
        if self.webhooks == "off":
            return None
        if self.webhooks.startswith("~") or self.webhooks.endswith("/"):
            raise ValueError("FANFOLD_WEBHOOKS must be off, or the path of a file")
        return Path(self.webhooks) if self.webhooks else data_folder / "webhooks.db"

    def topic_projections(self) -> list[str]:
        """Each as a module and a name in it. Raises ValueError for what is none, and for one that is there twice."""
        found = [part.strip() for part in self.topics.split(",") if part.strip()]
        for text in found:
            module, _, name = text.partition(":")
            if not module or not name.isidentifier() or found.count(text) > 1:
                raise ValueError(
                    f"FANFOLD_TOPICS must name projections, each once, such as my_module:Leaderboard; it has {text!r}"
                )
        return found

    def projected(self, partitions: int) -> list[int]:
        """The partitions to project. Raises ValueError for one the log does not have, and for what is no number."""
        if not self.project_partitions:
            return list(range(partitions))
        try:
            projected = sorted({int(part) for part in self.project_partitions.split(",")})
        except ValueError:
            raise ValueError("FANFOLD_PROJECT_PARTITIONS must be numbers of partitions, such as 0,2") from None
        if projected[0] < 0 or projected[-1] >= partitions:
            raise ValueError(f"FANFOLD_PROJECT_PARTITIONS names a partition outside 0..{partitions - 1}")
        return projected
