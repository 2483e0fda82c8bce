"""One description of the public door."""

from __future__ import annotations

from gateway.openapi import merge


def test_only_public_paths_are_described_each_by_the_side_that_answers() -> None:
    write = {
        "paths": {
            "/v1/accounts/{account}": {"put": {"summary": "open"}, "get": {"summary": "not here"}},
            "/healthz": {"get": {}},
        }
    }
    read = {"paths": {"/v1/accounts/{id}": {"get": {"summary": "balance"}}, "/internal/balances": {"post": {}}}}
    merged = merge(write, read)
    assert list(merged["paths"]) == ["/v1/accounts/{account}", "/v1/accounts/{id}", "/v1/stream"]
    assert merged["paths"]["/v1/accounts/{account}"] == {"put": {"tags": ["Write"], "summary": "open"}}


def test_schemas_of_one_name_and_different_content_stay_apart() -> None:
    write = {
        "paths": {"/v1/transfers": {"post": {"x": {"$ref": "#/components/schemas/Done"}}}},
        "components": {"schemas": {"Done": {"type": "object"}, "Same": {"type": "string"}}},
    }
    read = {
        "paths": {"/v1/system": {"get": {"x": {"$ref": "#/components/schemas/Done"}}}},
        "components": {"schemas": {"Done": {"type": "array"}, "Same": {"type": "string"}}},
    }
    merged = merge(write, read)
    assert merged["paths"]["/v1/transfers"]["post"]["x"] == {"$ref": "#/components/schemas/Done"}
    assert merged["paths"]["/v1/system"]["get"]["x"] == {"$ref": "#/components/schemas/ReadDone"}
    assert sorted(merged["components"]["schemas"]) == ["Done", "ReadDone", "Same"]
