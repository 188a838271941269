"""The gateway under a path of another application, which it starts and stops with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from email.utils import formatdate

from costmeter.core.errors import InputError
from costmeter.gateway.app import Gateway
from costmeter.gateway.requests import Message, Receive, Scope, Send

App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Mounted:
    """Sends what begins with the path to the gateway, without it, and everything else to the application.

    The server is to add no Date: the gateway hands DeepSeek's on, and the application's answers get one here.
    """

    def __init__(self, app: App, gateway: Gateway, path: str) -> None:
        if not path.startswith("/") or path.endswith("/"):
            raise InputError("COSTMETER_GATEWAY_MOUNT", path, "write a path such as /deepseek")
        self._app = app
        self._gateway = gateway
        self._path = path
        self._below = f"{path}/".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, self._told(receive), send)
        elif scope["type"] == "http" and scope["raw_path"].startswith(self._below):
            await self._gateway({**scope, "root_path": self._path}, receive, send)
        else:
            await self._app(scope, receive, _dated(send))

    def _told(self, receive: Receive) -> Receive:
        """The gateway starts before the application, and delivers its records while that still posts."""

        async def told() -> Message:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._gateway.start()
            elif message["type"] == "lifespan.shutdown":
                await self._gateway.stop()
            return message

        return told


def _dated(send: Send) -> Send:
    async def dated(message: Message) -> None:
        if message["type"] == "http.response.start":
            date = formatdate(usegmt=True).encode()
            message = {**message, "headers": [(b"date", date), *message.get("headers", ())]}
        await send(message)

    return dated
