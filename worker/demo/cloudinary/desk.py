"""Takes each request through faults, proof of identity and budget to what answers it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

from worker.demo.cloudinary.admin import Admin
from worker.demo.cloudinary.ask import Ask
from worker.demo.cloudinary.budget import Budget
from worker.demo.cloudinary.calls import Call, Calls
from worker.demo.cloudinary.delivery import Delivery
from worker.demo.cloudinary.faults import Fault, Faults, Stage
from worker.demo.cloudinary.journal import Origin
from worker.demo.cloudinary.routes import Route, find
from worker.demo.cloudinary.shapes import Document
from worker.demo.cloudinary.signing import Keys
from worker.demo.cloudinary.uploads import Uploads
from worker.demo.cloudinary.wire import Params, Refused, Reply, Request

Pause = Callable[[Fault], None]


class Desk:
    """The API as a function from request to reply.

    `pause` waits as a fault says; it raises ConnectionError where the client must not get an
    answer.
    """

    def __init__(
        self,
        cloud_name: str,
        keys: Keys,
        *,
        uploads: Uploads,
        admin: Admin,
        delivery: Delivery,
        budget: Budget,
        faults: Faults,
        pause: Pause,
    ) -> None:
        self.calls = Calls()
        self._cloud_name = cloud_name
        self._keys = keys
        self._uploads = uploads
        self._admin = admin
        self._delivery = delivery
        self._budget = budget
        self._faults = faults
        self._pause = pause
        self._methods = _methods(uploads, admin)

    def answer(self, request: Request) -> Reply:
        """Answer a request. Raises ConnectionError for one that is to get no answer."""
        route = find(request.method, request.path)
        params = _params(request)
        call = Call(route.kind, route.api, request.method, request.path, params, request.at)
        self.calls.add(call)
        try:
            self._strike(call, "before")
            reply = self._carry_out(route, call, request)
            self._strike(call, "after")
        except Refused as refused:
            reply = Reply.refusal(refused)
        call.status = reply.status
        return self._finished(reply, route)

    def _strike(self, call: Call, stage: Stage) -> None:
        fault = self._faults.take(call, stage)
        if fault is None:
            return
        self._pause(fault)
        if fault.refusal:
            raise fault.refusal()

    def _carry_out(self, route: Route, call: Call, request: Request) -> Reply:
        origin = Origin(route.kind, request.at, call.params.text("notification_url"))
        ask = Ask(call.params, origin, route.resource_type, route.type, route.name, request.headers)
        self._admit(route, call, request)
        if route.kind == "deliver":
            return self._delivery.deliver(ask)
        return Reply.of(self._methods[route.kind](ask))

    def _admit(self, route: Route, call: Call, request: Request) -> None:
        if route.kind == "unknown":
            raise Refused(404, f"unknown path {request.path}")
        if route.cloud_name != self._cloud_name:
            raise Refused(401, f"Invalid cloud_name {route.cloud_name}")
        if route.api == "upload_api":
            self._uploads.authorize(call.params, action=route.kind)
        if route.api == "admin":
            self._keys.check_basic(request.headers.get("authorization", ""))
            self._budget.spend()

    def _finished(self, reply: Reply, route: Route) -> Reply:
        headers = {"X-Request-Id": secrets.token_hex(16)}
        if route.api == "admin":
            headers |= self._budget.headers()
        return Reply(reply.status, reply.body, {**headers, **reply.headers})


def _params(request: Request) -> Params:
    """What cannot be read is refused by the call that misses it."""
    try:
        return Params.of(request)
    except (Refused, UnicodeDecodeError):
        return Params({})


def _methods(uploads: Uploads, admin: Admin) -> Mapping[str, Callable[[Ask], Document]]:
    return {
        "upload": uploads.upload,
        "destroy": uploads.destroy,
        "rename": uploads.rename,
        "explicit": uploads.explicit,
        "tags": uploads.tags,
        "context": uploads.context,
        "metadata": uploads.metadata,
        "ping": admin.ping,
        "usage": admin.usage,
        "types": admin.types,
        "list": admin.list_all,
        "list_by_tag": admin.list_by_tag,
        "list_by_context": admin.list_by_context,
        "list_by_folder": admin.list_by_folder,
        "list_by_asset_ids": admin.list_by_asset_ids,
        "details": admin.details,
        "details_by_asset_id": admin.details_by_asset_id,
        "update": admin.update,
        "delete": admin.delete,
        "delete_by_tag": admin.delete_by_tag,
        "delete_by_asset_ids": admin.delete_by_asset_ids,
        "tag_names": admin.tag_names,
        "search": admin.search,
    }
