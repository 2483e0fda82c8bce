"""The OpenAPI document tells the truth: requests made from it are answered as it says.

What a schema cannot say (legs sum to zero, id or Idempotency-Key, two different accounts) is refused all the same, so
not every request that fits the schema is taken; `test_http_bad_input.py` states those rules.
"""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.unit.write_side.http_edge import Edge

EDGE = Edge()


@schemathesis.serializer("application/x-ndjson", "application/vnd.apache.arrow.stream")
def as_text(_context: Any, value: Any) -> Any:
    return str(value).encode(errors="replace") if not isinstance(value, bytes) else value


schema = schemathesis.openapi.from_asgi("/openapi.json", EDGE.app)


@schema.parametrize()
@settings(max_examples=40, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_the_document_describes(case: Any) -> None:
    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
        unsupported_method,
    ]
    response = case.call()
    # A line of a batch is refused by itself, inside of a 200; a body that is too large is refused whatever is in it.
    if not case.path.endswith(":batch") and response.status_code != 413:
        checks.append(negative_data_rejection)
    case.validate_response(response, checks=checks)
