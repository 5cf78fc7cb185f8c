"""POST /v1/chat/completions: OpenAI's form, whole or streamed, with `grounding` beside the text."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from . import jobs
from .asked import question_of
from .bodies import body_of, check_type, decoded
from .front import Front
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
        async with body_of(request, self.front) as body:
            asked = await decoded(body.data, ChatRequest)
            self._check_model(asked.model)
            job = await question_of(asked, body)
        ticket = self.front.submit(job, request.state.client, asked.deadline_s)
        writing = Writing(f"chatcmpl-{request.state.request_id[4:]}", self.front.model, asked)
        if asked.stream:
            headers = {"X-Accel-Buffering": "no"}
            return StreamingResponse(writing.stream(self.front, ticket), 200, headers, "text/event-stream")
        result = await while_connected(request, self.front.result(ticket))
        assert isinstance(result, jobs.Answered)
        return json_response(writing.whole(result))

    def _check_model(self, wanted: str) -> None:
        if wanted != self.front.model:
            raise RequestError(
                404,
                f"model {wanted[:80]!r} is not served here; ask for {self.front.model!r}",
                code="model_not_found",
                param="model",
            )


class Writing:
    """One completion on its way out."""

    def __init__(self, completion_id: str, model: str, asked: ChatRequest) -> None:
        self.id, self.model, self.asked, self.created = completion_id, model, asked, int(time.time())

    def whole(self, result: jobs.Answered) -> ChatCompletion:
        """The completion of a finished answer."""
        message = AnswerMessage(result.text, result.grounding)
        return ChatCompletion(self.id, self.created, self.model, [Choice(message, finish_reason(result))], result.usage)

    async def stream(self, front: Front, ticket: Ticket) -> AsyncIterator[bytes]:
        """Events until the answer ends; an error becomes an event, and never silence."""
        try:
            yield self._chunk(Delta(role="assistant", content=""))
            async with contextlib.aclosing(front.events(ticket)) as events:
                async for event in events:
                    match event:
                        case jobs.Delta(text=text):
                            yield self._chunk(Delta(content=text))
                        case jobs.Found(region=region):
                            yield self._chunk(Delta(grounding=Grounding(regions=[region])))
                        case jobs.Done(result=jobs.Answered() as result):
                            yield self._chunk(Delta(grounding=result.grounding), finish_reason(result))
                            if self.asked.stream_options and self.asked.stream_options.include_usage:
                                yield server_sent(ChatChunk(self.id, self.created, self.model, [], usage=result.usage))
                            yield DONE
        except RequestError as error:
            yield server_sent(ErrorObject(told(error).problem))
        finally:
            ticket.cancel()

    def _chunk(self, delta: Delta, reason: FinishReason | None = None) -> bytes:
        return server_sent(ChatChunk(self.id, self.created, self.model, [ChunkChoice(delta, reason)]))


def finish_reason(result: jobs.Answered) -> FinishReason:
    """OpenAI's word: "stop" after the model's own end, else "length"; `grounding` has the true one."""
    return "stop" if result.grounding.finish_reason == "eos" else "length"
