"""POST /v1/chat/completions: OpenAI's form, whole or streamed, with `grounding` beside the text."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from . import jobs
from .asked import question_of
from .bodies import body_of, check_type, decoded
from .front import Front
from .logs import log
from .problems import ErrorObject, RequestError, told
from .records import ChatRequest
from .replies import (
    AnswerMessage,
    ChatChunk,
    ChatCompletion,
    Choice,
    ChunkChoice,
    Delta,
    FinishReason,
    Grounding,
    ModelCard,
    ModelList,
)
from .responses import json_response, server_sent
from .waiting import Ticket
from .waiting_clients import while_connected

DONE = b"data: [DONE]\n\n"


class Chat:
    """The routes of OpenAI's own client."""

    def __init__(self, front: Front) -> None:
        self.front = front

    async def models(self, request: Request) -> Response:
        """GET /v1/models and /v1/models/{model}."""
        card = ModelCard(self.front.model)
        if (wanted := request.path_params.get("model")) is None:
            return json_response(ModelList([card]))
        self._check_model(wanted)
        return json_response(card)

    async def complete(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        check_type(request, "application/json")
        ticket, form = await self._submitted(request)
        writing = Writing(request.state.request_id, self.front.model, form)
        if form.stream:
            events = self.front.events(ticket)
            first = await while_connected(request, _first(events))  # where it fails, the status says so
            return _Stream(writing.stream(events, first), events)
        result = await while_connected(request, self.front.result(ticket))
        assert isinstance(result, jobs.Answered)
        return json_response(writing.whole(result))

    async def _submitted(self, request: Request) -> tuple[Ticket, Form]:
        """The ticket of a request; its body, which holds its images, is let go with this call."""
        async with body_of(request, self.front) as body:
            asked = await decoded(body.data, ChatRequest)
            self._check_model(asked.model)
            job = await question_of(asked, body)
        usage = bool(asked.stream_options and asked.stream_options.include_usage)
        ticket = self.front.submit(job, request.state.client, asked.deadline_s, request.state.request_id)
        return ticket, Form(bool(asked.stream), usage)

    def _check_model(self, wanted: str) -> None:
        if wanted != self.front.model:
            raise RequestError(
                404,
                f"model {wanted[:80]!r} is not served here; ask for {self.front.model!r}",
                code="model_not_found",
                param="model",
            )


class Form(NamedTuple):
    """How a completion is sent: in events, with the token counts behind them."""

    stream: bool = False
    usage: bool = False


class _Stream(StreamingResponse):
    """Events of an answer, which is given up with the response, even where the client left before it began."""

    def __init__(self, lines: AsyncIterator[bytes], events: AsyncGenerator[jobs.Event, None]) -> None:
        super().__init__(lines, 200, {"X-Accel-Buffering": "no"}, "text/event-stream")
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._events.aclose()


class Writing:
    """One completion on its way out."""

    def __init__(self, request_id: str, model: str, form: Form) -> None:
        self.request_id, self.model, self.form, self.created = request_id, model, form, int(time.time())
        self.id = f"chatcmpl-{request_id.removeprefix('req_')}"

    def whole(self, result: jobs.Answered) -> ChatCompletion:
        """The completion of a finished answer."""
        message = AnswerMessage(result.text, result.grounding)
        return ChatCompletion(self.id, self.created, self.model, [Choice(message, finish_reason(result))], result.usage)

    async def stream(self, events: AsyncIterator[jobs.Event], first: jobs.Event) -> AsyncIterator[bytes]:
        """The first event and those behind it until the answer ends; an error becomes an event, and never silence."""
        yield self._chunk(Delta(role="assistant", content=""))
        try:
            for line in self._lines(first):
                yield line
            async for event in events:
                for line in self._lines(event):
                    yield line
        except Exception as error:  # the status has gone out: whatever it is, the client is told here
            if not isinstance(error, RequestError):
                log("error", request=self.request_id, kind=type(error).__name__, reason=str(error)[:500])
            yield server_sent(ErrorObject(told(error).problem))

    def _lines(self, event: jobs.Event) -> Iterator[bytes]:
        match event:
            case jobs.Delta(text=text):
                yield self._chunk(Delta(content=text))
            case jobs.Found(region=region):
                yield self._chunk(Delta(grounding=Grounding(regions=[region])))
            case jobs.Done(result=jobs.Answered() as result):
                yield self._chunk(Delta(grounding=result.grounding), finish_reason(result))
                if self.form.usage:
                    yield server_sent(ChatChunk(self.id, self.created, self.model, [], usage=result.usage))
                yield DONE

    def _chunk(self, delta: Delta, reason: FinishReason | None = None) -> bytes:
        return server_sent(ChatChunk(self.id, self.created, self.model, [ChunkChoice(delta, reason)]))


async def _first(events: AsyncGenerator[jobs.Event, None]) -> jobs.Event:
    return await anext(events)


def finish_reason(result: jobs.Answered) -> FinishReason:
    """OpenAI's word: "stop" after the model's own end, else "length"; `grounding` has the true one."""
    return "stop" if result.grounding.finish_reason == "eos" else "length"
