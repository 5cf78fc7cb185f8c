"""A chat request becomes the question that a `Pipeline` is asked: its images, its earlier turns, its options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from .. import limits
from ..options import AskOptions
from ..text.questions import IMAGE_MARK
from . import jobs
from .bodies import Body
from .pictures import picture_of
from .problems import RequestError
from .records import ChatRequest, ImagePart, Message, TextPart

# Fields of OpenAI's form that would change the answer and cannot be honoured: each with what it may be beside null.
_REFUSED: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "stop": ([], ""),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
}
SHORT = 100  # bytes; what may be is shorter


async def question_of(asked: ChatRequest, body: Body) -> jobs.Ask:
    """The job of a chat request. RequestError 400 names the field; the text itself is checked as by `Pipeline`."""
    for name, allowed in _REFUSED.items():
        value = getattr(asked, name)
        text = b"null" if value is msgspec.UNSET else bytes(value)
        if len(text) > SHORT or msgspec.json.decode(text) not in (None, *allowed):
            shown = text[:40].decode(errors="replace")
            raise RequestError(
                400, f"{name}={shown} cannot be honoured here; leave it out", code="unsupported_value", param=name
            )
    images = await _images(asked.messages, body)
    query, history = _turns(asked.messages, several=len(images) > 1)
    options = AskOptions(
        max_new_tokens=asked.max_completion_tokens or asked.max_tokens or 1024,
        history=tuple(history),
        temperature=asked.temperature or 0.0,
        top_p=asked.top_p if asked.top_p is not None else 1.0,
        seed=asked.seed,
    )
    return jobs.Ask(images=images, query=query, options=options.to_dict(), hd_num=asked.hd_num, wanted=asked.grounding)


async def _images(messages: Sequence[Message], body: Body) -> list[jobs.Picture]:
    """Every image of every message, in order."""
    found: list[jobs.Picture] = []
    for number, message in enumerate(messages):
        for place, part in enumerate(message.content if isinstance(message.content, list) else []):
            if isinstance(part, ImagePart):
                param = f"messages[{number}].content[{place}].image_url.url"
                if message.role != "user":
                    raise RequestError(
                        400, f"{param}: only a user's message may hold an image", code="invalid_value", param=param
                    )
                if len(found) == limits.MAX_IMAGES:
                    raise RequestError(
                        400,
                        f"{param}: over {limits.MAX_IMAGES} images in one conversation; ask about fewer",
                        code="too_many_images",
                        param=param,
                    )
                found.append(
                    await picture_of(
                        part.image_url.url, param, body, bounds=part.bounds, crs=part.crs, bands=part.bands
                    )
                )
    return found


def _turns(messages: Sequence[Message], several: bool) -> tuple[str, list[tuple[str, str]]]:
    """The last question, and the earlier (question, answer) pairs. A system message goes before the first question."""
    rules = [_text(one, False) for one in messages if one.role in ("system", "developer")]
    turns = [one for one in messages if one.role in ("user", "assistant")]
    roles = [one.role for one in turns]
    if roles != ["user", "assistant"] * (len(turns) // 2) + ["user"]:
        raise RequestError(
            400,
            "messages: give user and assistant in turn, a user's first and last",
            code="invalid_value",
            param="messages",
        )
    texts = [_text(one, several) for one in turns]
    texts[0] = "\n".join([*rules, texts[0]])
    return texts[-1], list(zip(texts[0:-1:2], texts[1::2], strict=True))


def _text(message: Message, several: bool) -> str:
    """A message's text; an image among several leaves the mark that says where it stands."""
    if message.grounding is not None and message.grounding.response:
        return message.grounding.response  # the model's own string, as it was sent
    if not isinstance(message.content, list):
        return message.content or ""
    marks = [part.text if isinstance(part, TextPart) else IMAGE_MARK * several for part in message.content]
    return "\n".join(mark for mark in marks if mark)
