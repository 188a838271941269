"""uvicorn's server, in a thread of a test: one that is told to end does so at once."""

from __future__ import annotations

import asyncio

import uvicorn


class QuickServer(uvicorn.Server):
    """Looks whether it is to end each 5 ms and not each 100: thousands of tests begin and end a server."""

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            await asyncio.sleep(0.005)
