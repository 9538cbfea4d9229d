"""An application that shows what granian's RSGI does: `SHOWN`, a file, has a line of JSON for each thing that happened."""

import asyncio
import json
import os
from pathlib import Path

from roundhouse.granian_server import call_before_stop

SHOWN, FILE = Path(os.environ["SHOWN"]), os.environ["FILE"]
PLAIN = [("content-type", "text/plain")]


def show(**happened) -> None:
    with SHOWN.open("a") as file:
        file.write(json.dumps(happened) + "\n")


async def parts(_scope, proto) -> None:
    lengths = []
    async for part in proto:
        lengths.append(len(part))
    show(parts=lengths)
    proto.response_str(200, PLAIN, str(lengths))


async def whole(scope, proto) -> None:
    show(asked="whole")
    try:
        body = await proto()
    except RuntimeError as error:
        show(lost=str(error))
        raise
    show(whole=len(body), has_length="content-length" in scope.headers)
    proto.response_bytes(200, PLAIN, body)


async def unread(_scope, proto) -> None:
    proto.response_str(403, PLAIN, "no")


async def odd(scope, proto) -> None:
    headers = scope.headers
    told = {"path": scope.path, "got": headers.get("x-odd"), "is_there": "x-odd" in headers}
    proto.response_str(200, PLAIN, json.dumps(told))


async def file(scope, proto) -> None:
    start, end = map(int, scope.query_string.split("-"))
    proto.response_file_range(200, PLAIN, FILE, start, end)


async def gone(_scope, proto) -> None:
    show(asked="gone")
    await proto.client_disconnect()
    show(gone=True)


ANSWERS = {"/parts": parts, "/whole": whole, "/unread": unread, "/file": file, "/gone": gone}


class Application:
    def __init__(self) -> None:
        show(pid=os.getpid())

    async def __rsgi__(self, scope, proto) -> None:
        await ANSWERS.get(scope.path, odd)(scope, proto)

    def begin_end(self) -> None:
        show(stops=True, is_running=asyncio.get_event_loop().is_running())

    def __rsgi_del__(self, loop) -> None:
        show(ended=True, is_running=loop.is_running())
        loop.run_until_complete(asyncio.sleep(0))


application = Application()
call_before_stop(application.begin_end)
