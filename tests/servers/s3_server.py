"""S3: moto's, in threads of this process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.servers.server import LOOPBACK, unique_name


class S3Server:
    """moto's, in threads of this process: what it has is in memory. It believes whoever comes."""

    def __init__(self) -> None:
        # Here, because it takes half a second.
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells of every request
        moto, one_after_the_other = DomainDispatcherApplication(create_backend_app), threading.Lock()

        def serve(environ: Any, start_response: Any) -> Any:
            with (
                one_after_the_other
            ):  # moto's own server fails where a file is replaced while another request looks at it
                return moto(environ, start_response)

        self._server = make_server(LOOPBACK, 0, serve, threaded=True, request_handler=MotoRequestHandler)
        self._serving = threading.Thread(target=self._server.serve_forever, daemon=True)

    def start(self) -> None:
        self._serving.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._serving.join()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def new_bucket(self) -> str:
        """Its name."""
        bucket = unique_name("bucket")
        self.client().create_bucket(Bucket=bucket)
        return bucket

    def client(self) -> Any:
        """Of botocore: what is not said by our own client."""
        from botocore.session import Session

        return Session().create_client(
            "s3",
            endpoint_url=f"http://{LOOPBACK}:{self.port}",
            region_name="us-east-1",
            aws_access_key_id="tests",
            aws_secret_access_key="tests",
        )


def s3_address(bucket: str, folder: str, port: int) -> str:
    """As `FANFOLD_SNAPSHOTS` names a folder in a bucket of a server on loopback."""
    return f"s3://{bucket}/{folder}?endpoint_override={LOOPBACK}:{port}&scheme=http&region=us-east-1"


@contextmanager
def running_s3() -> Iterator[S3Server]:
    """A private, empty S3."""
    server = S3Server()
    server.start()
    try:
        yield server
    finally:
        server.stop()
