"""The usual proxy: FastAPI's StreamingResponse over httpx.AsyncClient, as its users write it, on uvicorn as it comes.

python -m benchmarks.gateway.usual PORT UPSTREAM
"""

from __future__ import annotations

import sys

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask

from benchmarks.gateway.passing import FOR_THIS_HOP


def make_app(upstream: str) -> FastAPI:
    app = FastAPI()
    client = httpx.AsyncClient(base_url=upstream, timeout=None)

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def proxy(request: Request, path: str) -> StreamingResponse:
        headers = [pair for pair in request.headers.raw if pair[0] not in FOR_THIS_HOP]
        asked = client.build_request(request.method, f"/{path}", headers=headers, content=await request.body())
        answer = await client.send(asked, stream=True)
        passed_on = {name: value for name, value in answer.headers.items() if name.encode() not in FOR_THIS_HOP}
        return StreamingResponse(
            answer.aiter_raw(),
            status_code=answer.status_code,
            headers=passed_on,
            background=BackgroundTask(answer.aclose),
        )

    return app


if __name__ == "__main__":
    uvicorn.run(make_app(sys.argv[2]), port=int(sys.argv[1]), log_config=None, access_log=False)
