"""Every frame there is, of either side, by its `op`."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Discriminator

from fanfold.api.frames.acks import Ack
from fanfold.api.frames.answered import AnswersFrame, ErrorFrame, Pong
from fanfold.api.frames.asked import Auth, Ping, Submit, Subscribe, Unsubscribe
from fanfold.api.frames.connection import Bye, Heartbeat, Hello, Status
from fanfold.api.frames.pushed import BalancesFrame, TopicFrame, TransferFrame, TransfersMissed

ClientFrame = Annotated[Auth | Subscribe | Unsubscribe | Ping | Submit, Discriminator("op")]


GatewayFrame = Annotated[
    Hello
    | Ack
    | BalancesFrame
    | TransferFrame
    | TransfersMissed
    | TopicFrame
    | AnswersFrame
    | Pong
    | Status
    | Heartbeat
    | ErrorFrame
    | Bye,
    Discriminator("op"),
]
CLIENT_FRAMES: Final[tuple[type[Any], ...]] = (Auth, Subscribe, Unsubscribe, Ping, Submit)
GATEWAY_FRAMES: Final[tuple[type[Any], ...]] = (
    Hello, Ack, BalancesFrame, TransferFrame, TransfersMissed, TopicFrame, AnswersFrame, Pong, Status, Heartbeat, ErrorFrame, Bye
)  # fmt: skip
