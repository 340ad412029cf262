"""The routes: which channels would receive an event."""

from collections.abc import Mapping
from typing import Annotated, Self

import msgspec
from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from watcher.api.dependencies import Running, json_response
from watcher.api.openapi import shows
from watcher.api.problems import documented
from watcher.core.route_test import RouteTest, TestedEvent, tested

routes = APIRouter(prefix="/v1/routes", tags=["outbox"])

Word = Annotated[str, Field(min_length=1, max_length=256)]


def _only(name: str) -> JsonDict:
    """Return the schema in which of `status` and `event` only `name` is set."""
    kinds: JsonDict = {
        one: {"type": "string" if one == name else "null"} for one in ("status", "event")
    }
    return {"required": [name], "properties": kinds}


class RouteTestRequestView(BaseModel):
    """An event: of a new `status`, or of the type `event`. `source` is the first one by default."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"oneOf": [_only("status"), _only("event")]}
    )

    status: Word | None = None
    event: Word | None = None
    previous_status: Word | None = None
    task_type: Word | None = None
    namespace: Word | None = None
    source: Word | None = None
    labels: Annotated[Mapping[str, str], Field(max_length=20)] = {}

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.status is None) == (self.event is None):
            raise ValueError("set either status or event")
        return self


class TestedRouteView(msgspec.Struct, frozen=True, rename={"why_not": "not"}):
    """A route's channels, and `not`: why it does not match, null if it does."""

    channels: list[str]
    why_not: str | None


class RouteTestView(msgspec.Struct, frozen=True):
    """The channels that would receive an event of `type`, and what each route says; `default` if
    the configuration has no routes, so that these are the default ones.
    """

    type: str
    channels: list[str]
    routes: list[TestedRouteView]
    default: bool

    @classmethod
    def of(cls, test: RouteTest) -> Self:
        routes = [
            TestedRouteView(channels=list(route.channels), why_not=route.why_not)
            for route in test.routes
        ]
        return cls(
            type=test.type, channels=list(test.channels), routes=routes, default=test.default
        )


@routes.post(
    "/test",
    responses={**shows(RouteTestView), **documented(400, 401, 403, 413, 415, 422, 503)},
)
async def test_routes(options: RouteTestRequestView, daemon: Running) -> Response:
    """Show which channels would receive an event, and why the others would not. Sends nothing."""
    event = TestedEvent(**options.model_dump())
    return json_response(RouteTestView.of(tested(daemon.settings, event)))
