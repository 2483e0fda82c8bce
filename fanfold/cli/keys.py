"""Commands about who asks: `token` makes a token, `key` has the keys of machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from fanfold.cli.asking import AsJson
from fanfold.cli.known_failures import failures_told
from fanfold.cli.output import complain, laid_out, say
from fanfold.cli.sheet import Column, Sheet

BAD: Final = 1
MINUTES_MAX: Final = 366 * 24 * 60

Grants = Annotated[
    list[str] | None,
    typer.Option(
        "--grant",
        metavar="ACCOUNTS=RIGHTS",
        help="what it may, such as 'team1.*=read,debit', '@owner:anna=read' or 'anna.*@owner:anna=open'; several times",
    ),
]
KeyFile = Annotated[
    Path, typer.Option("--file", envvar="FANFOLD_API_KEYS", help="file of the keys, as the gateway is told it")
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="what the key is called")]

COLUMNS: Final = (Column("name"), Column("may", folds=True), Column("made at"), Column("revoked at"))


def token(
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="whose token it is")],
    key: Annotated[Path, typer.Option("--key", help="file of a private key in PEM, or of a secret as a JWK")],
    grant: Grants = None,
    minutes: Annotated[int, typer.Option(help="how long it counts", min=1, max=MINUTES_MAX)] = 60,
    issuer: Annotated[str, typer.Option(envvar="FANFOLD_AUTH_ISSUER", help="what the gateway is told")] = "",
    audience: Annotated[str, typer.Option(envvar="FANFOLD_AUTH_AUDIENCE", help="what the gateway is told")] = "",
    kid: Annotated[str | None, typer.Option(help="which key it is, where the gateway knows several")] = None,
) -> None:
    """Make a token with a key of your own, for tests and small set-ups. Others have an issuer.

    `openssl genpkey -algorithm ed25519 -out private.pem` makes a key, `openssl pkey -in private.pem -pubout -out public.pem` what
    FANFOLD_AUTH_KEYS=file:public.pem tells the gateway. Commands say who asks by FANFOLD_TOKEN.

    Examples:

      fanfold token alice --key private.pem --grant alice=read,debit

      fanfold token admin --key private.pem --grant '*=read,system'
    """
    from deploy.token_maker import make_token

    with failures_told(BAD):
        say(make_token(key, subject, grant or [], minutes, issuer, audience, kid))


def add(name: Name, file: KeyFile, grant: Grants = None) -> None:
    """Make a key for a machine. It is shown once: the file has its hash only.

    Example:

      fanfold key add shop --grant 'shop.*=read,debit' --grant '*=credit'
    """
    from deploy.key_file import add_key

    with failures_told(BAD):
        say(add_key(file, name, grant or []), changed=True)
    complain("Keep it now: it is shown once. It counts within a second where a gateway reads that file.")


def list_keys(file: KeyFile, as_json: AsJson = False) -> None:
    """List the keys of machines, without what would let anybody in.

    Example:

      fanfold key list
    """
    import json

    from deploy.key_file import grants_told, keys_in

    with failures_told(BAD):
        documents = [
            {name: value for name, value in key.document().items() if name != "sha256"} for key in keys_in(file).keys
        ]
    if as_json:
        say(json.dumps({"keys": documents}))
        return
    rows = [
        (
            each["name"],
            grants_told(each["grants"]),
            each["created"],
            each.get("revoked", ""),
        )
        for each in documents
    ]
    say(laid_out(Sheet(COLUMNS, rows)))


def revoke(name: Name, file: KeyFile) -> None:
    """Revoke a key: gateways refuse it and end its streams within a second or so.

    Example:

      fanfold key revoke shop
    """
    from deploy.key_file import revoke_key

    with failures_told(BAD):
        revoke_key(file, name)
    say(f"{name} is revoked")
