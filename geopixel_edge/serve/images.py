"""/v1/images: an opened image that is kept for follow-ups, found again by its digest."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from . import jobs
from .bodies import Body, body_of, check_type, decoded, files_of, form_of, media_type
from .front import Front
from .jobs import Picture
from .pictures import picture_in
from .problems import RequestError
from .records import PLACED, SegmentImage
from .replies import Deleted
from .responses import json_response
from .segment import placed
from .waiting_clients import while_connected

FORM = ("image", *PLACED)


class Images:
    """The routes of kept images."""

    def __init__(self, front: Front) -> None:
        self.front = front

    async def post(self, request: Request) -> Response:
        """POST /v1/images: 201 and its record, 200 where it is kept already."""
        async with body_of(request, self.front) as body:
            picture = await self._picture(request, body)
        opened = await self._result(request, jobs.Keep(image=picture))
        assert isinstance(opened, jobs.Opened)
        return json_response(opened.image, 200 if opened.found else 201)

    async def _picture(self, request: Request, body: Body) -> Picture:
        """From a multipart field `image`, a JSON body, or the file alone as the body."""
        if media_type(request).startswith("image/") or media_type(request) == "application/octet-stream":
            return Picture(data=body.data)
        kind = check_type(request, "multipart/form-data", "application/json", "image/*")
        if kind == "application/json":
            return await picture_in(await decoded(body.data, SegmentImage), "image", body)
        form = await form_of(request, body.data, FORM)
        files = await files_of(form, "image")
        if len(files) != 1:
            raise RequestError(400, f"image: {len(files)} files; send one", code="invalid_value", param="image")
        return placed(form, files)[0]

    async def preview(self, request: Request) -> Response:
        """GET /v1/images/{id}/preview: JPEG of at most 1,600 px, as the model sees its colours."""
        picked = await self._result(request, jobs.Preview(id=request.path_params["image_id"]))
        assert isinstance(picked, jobs.Picked)
        return Response(picked.jpeg, media_type="image/jpeg")

    async def delete(self, request: Request) -> Response:
        """DELETE /v1/images/{id}."""
        image_id = request.path_params["image_id"]
        await self._result(request, jobs.Forget(id=image_id))
        return json_response(Deleted(image_id, True))

    async def _result(self, request: Request, job: jobs.AnyJob) -> jobs.Result:
        ticket = self.front.submit(job, request.state.client, request_id=request.state.request_id)
        return await while_connected(request, self.front.result(ticket))
