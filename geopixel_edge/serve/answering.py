"""Jobs become results, in a worker: the questions are those that a `Pipeline` is asked directly."""

from __future__ import annotations

import functools
import io
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from PIL import Image

from ..answer import Answer, MaskFound, Phrase, Region, Text
from ..document import region_entry
from ..images import LoadedImage
from ..options import AskOptions
from ..pipeline import Pipeline
from ..session import OpenedImage
from ..stop import StopToken
from ..timings import DECODE, Timings
from ..writers import geojson
from . import jobs
from .kept import KeptImages
from .placing import ground_of, merged
from .problems import RequestError
from .replies import CachedTokens, GroundedRegion, Grounding, KeptImage, SegmentResult, Usage
from .uploads import check_pixels

PREVIEW_SIDE_PX = 1600
Tell = Callable[[jobs.Delta | jobs.Found], None]


class DeadlineToken(StopToken):
    """A stop token whose time comes by itself: `within_s` seconds from now."""

    def __init__(self, within_s: float) -> None:
        super().__init__()
        self._ends_s = time.monotonic() + within_s

    @property
    def reason(self) -> str | None:
        """Why it was set, "deadline" once the time is up."""
        return super().reason or ("deadline" if time.monotonic() >= self._ends_s else None)


class Answering:
    """Answers jobs one after the other, with a Pipeline and the images it keeps open."""

    def __init__(self, pipe: Pipeline, kept: KeptImages, worker: str) -> None:
        self.pipe, self.kept, self.worker = pipe, kept, worker

    def answer(self, job: jobs.AnyJob, stop: StopToken, tell: Tell) -> tuple[jobs.Result, jobs.Cost]:
        """A job's result and what it took; `tell` gets what is known before. Raises GeoPixelErrors."""
        before = (self.kept.hits, self.kept.misses)
        result, timings = self._result(job, stop, tell)
        return result, jobs.Cost(
            blocks=_seconds(timings),
            prompt_tokens=sum(one.prompt_tokens for one in timings),
            reused_tokens=sum(one.reused_tokens for one in timings),
            new_tokens=sum(one.new_tokens for one in timings),
            together=_batches(timings),
            hits=self.kept.hits - before[0],
            misses=self.kept.misses - before[1],
            kept_images=len(self.kept),
            kept_bytes=self.kept.bytes,
        )

    def _result(self, job: jobs.AnyJob, stop: StopToken, tell: Tell) -> tuple[jobs.Result, list[Timings]]:
        match job:
            case jobs.Ask():
                return self._ask(job, stop, tell)
            case jobs.Segment():
                return self._segment(job, stop)
            case jobs.Keep():
                return self._keep(job), []
            case jobs.Preview():
                return jobs.Picked(preview(self.kept.image(jobs.Picture(id=job.id)))), []
            case jobs.Forget():
                if not self.kept.forget(job.id):
                    self.kept.image(jobs.Picture(id=job.id))  # says that it is not here
                return jobs.Forgotten(job.id), []

    def _ask(self, job: jobs.Ask, stop: StopToken, tell: Tell) -> tuple[jobs.Result, list[Timings]]:
        held = self.kept.get(job.images, job.hd_num)
        asked = held.opened.prepare(job.query, AskOptions(**job.options), stop)
        self.kept.make_room(asked.plan.peak_bytes)
        stream, found = held.opened.running(asked), 0
        for event in stream:
            match event:
                case Text(text) | Phrase(text):
                    tell(jobs.Delta(job.number, text))
                case MaskFound(region):
                    tell(jobs.Found(job.number, entry(found, region, job.wanted.polygons)))
                    found += 1
        answer = stream.answer
        wanted = job.wanted
        grounding = Grounding(
            regions=[entry(index, one, wanted.polygons) for index, one in enumerate(answer.regions)],
            finish_reason=answer.finish_reason,  # type: ignore[arg-type]
            response=answer.response,
            image_size=answer.image_size,
            images=list(held.ids),
            notes=list(answer.notes),
            geojson=answer.to_geojson() if wanted.geojson else msgspec.UNSET,
            coco=answer.to_coco() if wanted.coco else msgspec.UNSET,
        )
        return jobs.Answered(answer.text, grounding, usage([answer.timings])), [answer.timings]

    def _segment(self, job: jobs.Segment, stop: StopToken) -> tuple[jobs.Result, list[Timings]]:
        answers = self._one(job, stop) if len(job.images) * len(job.phrases) == 1 else self._many(job, stop)
        rows = [
            (divmod(number, len(job.phrases)), answer.with_phrase(job.phrases[number % len(job.phrases)]))
            for number, answer in enumerate(answers)
        ]
        timings = [answer.timings for _, answer in rows]
        if job.geojson:
            pages = [geojson.document(one.regions, one.image_size, _located(one)) for _, one in rows]
            return jobs.Segmented([], usage(timings), merged(pages, [place for place, _ in rows])), timings
        results = [
            SegmentResult(
                image=image,
                phrase=phrase,
                image_size=answer.image_size or (0, 0),
                regions=[entry(index, region, job.polygons) for index, region in enumerate(answer.regions)],
                finish_reason=answer.finish_reason,
                notes=list(answer.notes),
            )
            for (image, phrase), answer in rows
        ]
        return jobs.Segmented(results, usage(timings)), timings

    def _one(self, job: jobs.Segment, stop: StopToken) -> list[Answer]:
        held = self.kept.get(job.images, job.hd_num)
        options = AskOptions(max_new_tokens=job.max_new_tokens)
        asked = held.opened.prepare(self.pipe.model.family.segment_query(job.phrases[0]), options, stop)
        self.kept.make_room(asked.plan.peak_bytes)
        return [held.opened.running(asked).answer]

    def _many(self, job: jobs.Segment, stop: StopToken) -> list[Answer]:
        """Every phrase of every image; all are checked and decoded before any is answered.

        Images are opened and kept as for single questions, so that one that is known is not computed again. A budget
        has room for one image beside a question: then none is kept.
        """
        check_pixels(job.images)
        model = self.pipe.model
        queries = [model.family.segment_query(phrase) for phrase in job.phrases]
        for query in queries:
            model.family.prompt(query, (), 1, model.tokenizer, model.manifest.tokens)
        images: deque[LoadedImage | OpenedImage] = deque()
        if model.budget_bytes is None:
            images += [self.kept.get([picture], job.hd_num).opened for picture in job.images]
        else:
            images += self.kept.images(job.images)
            self.kept.clear()

        def pairs() -> Iterator[tuple[LoadedImage | OpenedImage, str]]:
            while images:
                self.kept.make_room(0)
                image = images.popleft()
                yield from ((image, query) for query in queries)

        return list(self.pipe.batch(pairs(), max_new_tokens=job.max_new_tokens, hd_num=job.hd_num, stop=stop))

    def _keep(self, job: jobs.Keep) -> jobs.Opened:
        hits = self.kept.hits
        held = self.kept.get([job.image], job.hd_num)
        (image,) = held.opened.images
        record = KeptImage(
            held.ids[0],
            self.worker,
            image.width_px,
            image.height_px,
            held.bytes,
            list(image.notes),
            ground_of(image.place),
        )
        return jobs.Opened(record, self.kept.hits > hits)


def entry(index: int, region: Region, polygons: bool) -> GroundedRegion:
    """A region as clients get it; outlines are off by at most a two-thousandth of the image's longer side."""
    values: dict[str, Any] = {**region_entry(region), "index": index}
    if polygons:
        tolerance_px = max(region.mask.width_px, region.mask.height_px) / 2000
        values["polygons"] = [[ring.tolist() for ring in polygon] for polygon in region.mask.polygons(tolerance_px)]
    return msgspec.convert(values, GroundedRegion)


def usage(timings: list[Timings]) -> Usage:
    """Token counts of one answer or of several."""
    read = sum(one.prompt_tokens for one in timings)
    written = sum(one.new_tokens for one in timings)
    return Usage(read, written, read + written, CachedTokens(sum(one.reused_tokens for one in timings)))


def preview(image: LoadedImage) -> bytes:
    """JPEG of an image at a size that a screen shows."""
    shown = Image.fromarray(image.pixels)
    shown.thumbnail((PREVIEW_SIDE_PX, PREVIEW_SIDE_PX), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    shown.save(stream, "JPEG", quality=90)
    return stream.getvalue()


def _located(answer: Answer) -> Any:
    if answer.place is None or not answer.place.located:
        raise RequestError(
            406,
            "Accept: application/geo+json needs an image with a place; send bounds and crs with it, a georeferenced "
            "file to a server with the extra [geo], or take application/json",
            code="no_place",
        )
    return answer.place


def _batches(timings: list[Timings]) -> list[int]:
    """How many answers each batch had: those that were written in step share the record of what that cost."""
    return list(Counter(id(one.blocks.get(DECODE, one)) for one in timings).values())


def _seconds(timings: list[Timings]) -> dict[str, float]:
    """Seconds by block; answers that were written together share the record of what their steps cost."""
    shared = {id(cost): (name, cost) for one in timings for name, cost in one.blocks.items()}

    def add(found: dict[str, float], named: tuple[str, Any]) -> dict[str, float]:
        return {**found, named[0]: found.get(named[0], 0.0) + named[1].time_s}

    return functools.reduce(add, shared.values(), {})
