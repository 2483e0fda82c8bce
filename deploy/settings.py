"""What the embedded process can be told, beyond what each side reads for itself."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ProcessSettings(BaseSettings):
    """Environment variables: the names of the fields after `FANFOLD_`."""

    model_config = SettingsConfigDict(env_prefix="FANFOLD_", env_ignore_empty=True, extra="ignore")

    host: str = Field(
        "127.0.0.1", description="address to listen on; another one than loopback needs FANFOLD_AUTH=tokens"
    )
    port: int = Field(8080, ge=0, le=65535, description="the one public port: REST, WebSocket and console")
    admin_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description=(
            "port of metrics, all of /readyz and the drain; with it, and with FANFOLD_AUTH=tokens, the public port tells only "
            "that it is alive and ready. Default: none"
        ),
    )
    admin_host: str = Field(
        "127.0.0.1",
        description=(
            "address that the admin port listens on; another one than loopback needs FANFOLD_AUTH=tokens, and then who asks "
            "there needs the right `system`"
        ),
    )
    allowed_hosts: str = Field(
        "",
        description=(
            "names that every door answers to beside loopback ones and the address it listens on, "
            "`wallet.example,10.0.0.5`; `*` for all"
        ),
    )
