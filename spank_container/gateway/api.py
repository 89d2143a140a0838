"""The routes: HTTP to `service` and back, and nothing that decides."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.security import APIKeyHeader
from starlette.exceptions import HTTPException

import spank_container
from spank_container.errors import SpankContainerError
from spank_container.gateway import models
from spank_container.gateway.auth import Asked, Authenticator, authenticator
from spank_container.gateway.guard import Guard
from spank_container.gateway.problems import status_of
from spank_container.gateway.service import Service
from spank_container.values.image_ref import parse_digest

if TYPE_CHECKING:
    from spank_container.gateway.answers import Image, Pull, Use

_LONGEST_WAIT = 30
_POLL = 0.1
_MUNGE = APIKeyHeader(
    name="Authorization",
    scheme_name="MUNGE",
    auto_error=False,
    description="Over TCP: `MUNGE CREDENTIAL`, made for this one request. Over the Unix socket: nothing.",
)


def _service(request: Request) -> Service:
    found: Service = request.app.state.service
    return found


async def _asked(request: Request, _: Annotated[str | None, Security(_MUNGE)]) -> Asked:
    known: Authenticator = request.app.state.authenticator
    return await known.asked(request)


Serving = Annotated[Service, Depends(_service)]
Who = Annotated[Asked, Depends(_asked)]
Digest = Annotated[models.DigestText, Path(description="sha256:HEX")]
Number = Annotated[int, Path(ge=1, le=(1 << 63) - 1)]

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": models.Problem, "description": "The request cannot be granted to anybody."},
    401: {"model": models.Problem, "description": "No credential, or one that is not good for this request."},
    403: {"model": models.Problem, "description": "Not to this caller."},
    404: {"model": models.Problem, "description": "There is none, as far as the caller may know."},
    413: {"model": models.Problem, "description": "The request is too large."},
    422: {"model": models.Problem, "description": "The request is not as described here."},
    429: {"model": models.Problem, "description": "Too many unfinished pulls."},
    503: {"model": models.Problem, "description": "Later it may work."},
}
routes = APIRouter(prefix="/v1", responses=_PROBLEMS)
open_routes = APIRouter()


@routes.post("/pulls", status_code=202, response_model=models.PullAnswer, tags=["pulls"])
def ask(service: Serving, who: Who, body: models.PullRequest) -> Pull:
    """Ask for an image. An unfinished pull of the same reference by the same user is joined."""
    return service.ask(who.caller, body.reference, body.users, body.groups, who.login)


@routes.get("/pulls", response_model=list[models.PullAnswer], tags=["pulls"])
def pulls(service: Serving, who: Who) -> tuple[Pull, ...]:
    """The caller's pulls, or everybody's for an admin; the newest first."""
    return service.pulls(who.caller)


@routes.get("/pulls/{number}", response_model=models.PullAnswer, tags=["pulls"])
async def pull(
    service: Serving,
    who: Who,
    number: Number,
    seen: Annotated[int, Query(description="The version that the caller knows.")] = 0,
    wait: Annotated[float, Query(ge=0, le=_LONGEST_WAIT, description="Seconds to wait for another one.")] = 0,
) -> Pull:
    """One pull; with `seen` and `wait` the answer comes when it is news."""
    found = service.pull(who.caller, number)
    deadline = time.monotonic() + wait
    while not (found.over or service.board.is_news(number, seen)) and time.monotonic() < deadline:  # noqa: ASYNC110  # the news come from threads
        await asyncio.sleep(_POLL)
    return service.pull(who.caller, number)


@routes.delete("/pulls/{number}", status_code=204, tags=["pulls"])
def cancel(service: Serving, who: Who, number: Number) -> None:
    """Give up. What a worker has begun goes on for others who asked."""
    service.cancel(who.caller, number)


@routes.get("/images", response_model=list[models.ImageAnswer], tags=["images"])
def images(service: Serving, who: Who) -> tuple[Image, ...]:
    """The images that the caller may use, the newest first."""
    return service.catalog.images(who.caller)


@routes.get("/lookup", response_model=models.ImageAnswer, tags=["images"])
def lookup(
    service: Serving, who: Who, reference: Annotated[models.Reference, Query(examples=["docker:debian:trixie"])]
) -> Image:
    """What a reference means now, of the images that the caller may use."""
    return service.catalog.lookup(who.caller, reference)


@routes.get("/images/{digest}", response_model=models.ImageAnswer, tags=["images"])
def image(service: Serving, who: Who, digest: Digest) -> Image:
    """One image that the caller may use."""
    return service.catalog.image(who.caller, parse_digest(digest))


@routes.post("/images/{digest}/uses", status_code=204, tags=["images"])
def use(service: Serving, who: Who, digest: Digest, body: models.UseRequest) -> None:
    """A job was submitted with the image: it counts, and the image does not expire."""
    service.catalog.used(who.caller, parse_digest(digest), body.reference)


@routes.put("/images/{digest}/access", response_model=models.ImageAnswer, tags=["images"])
def share(service: Serving, who: Who, digest: Digest, body: models.AccessRequest) -> Image:
    """Whom the caller lets into a private image that he could pull himself."""
    return service.catalog.share(who.caller, parse_digest(digest), body.users, body.groups)


@routes.delete("/images/{digest}", status_code=204, tags=["images"])
def remove(service: Serving, who: Who, digest: Digest) -> None:
    """No new job gets the image; its file goes when no job is left that could have it mounted."""
    service.catalog.remove(who.caller, parse_digest(digest))


@routes.post("/expire", response_model=list[models.ImageAnswer], tags=["administration"])
def expire(service: Serving, who: Who) -> tuple[Image, ...]:
    """For admins: remove the images that were not used for too long, now; the answer is what went."""
    return service.expire(who.caller)


@routes.get("/usage", response_model=list[models.UseAnswer], tags=["administration"])
def usage(service: Serving, who: Who) -> tuple[Use, ...]:
    """How often jobs asked for which image: the caller's, or everybody's for an admin."""
    return service.usage(who.caller)


@open_routes.get("/healthz", response_model=models.Health, tags=["health"])
def health(service: Serving) -> models.Health:
    """Whether the gateway works; anybody may ask."""
    return models.Health(status="ok", version=spank_container.__version__, pulls=service.queue.counts())


@open_routes.get("/metrics", response_class=PlainTextResponse, tags=["health"])
def metrics(service: Serving) -> str:
    """For Prometheus; no names of images or users; anybody may ask."""
    return service.metrics_text()


def build_app(service: Service) -> FastAPI:
    """The application; no interactive pages, which would load scripts from elsewhere."""
    app = FastAPI(
        title="spank-container image gateway",
        version=spank_container.__version__,
        docs_url=None,
        redoc_url=None,
        description="Fetches images for everybody, decides who may use a private one, and looks after the store.",
    )
    app.state.service = service
    app.state.authenticator = authenticator(service.config.gateway)
    app.include_router(routes)
    app.include_router(open_routes)
    app.add_exception_handler(SpankContainerError, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(Exception, _defect)
    app.add_middleware(Guard, metrics=service.metrics)
    return app


def _refused(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, SpankContainerError):
        raise TypeError from error
    status = status_of(error)
    headers = {"WWW-Authenticate": "MUNGE"} if status == 401 else {}
    return JSONResponse({"error": error.message, "hint": error.hint}, status, headers)


def _malformed(_: Request, error: Exception) -> JSONResponse:
    """What is wrong, without what was sent."""
    if not isinstance(error, RequestValidationError):
        raise TypeError from error
    found = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return JSONResponse({"error": "; ".join(found), "hint": "see docs/reference/gateway-api.md"}, 422)


def _no_route(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise TypeError from error
    return JSONResponse({"error": error.detail, "hint": ""}, error.status_code, error.headers)


def _defect(_: Request, __: Exception) -> JSONResponse:
    """What went wrong is in the journal: starlette raises it again for uvicorn to log."""
    return JSONResponse({"error": "this is a defect of the image gateway", "hint": "its journal says more"}, 500)
