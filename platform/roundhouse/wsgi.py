"""Entry point of a web process: the callable is handed out only when the live versions are warm."""

import os
from multiprocessing.util import Finalize

import django

from roundhouse.process import follow_main, spare_collector

follow_main()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "roundhouse.settings")
django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402

from inference.doors.grpc import server as grpc_server  # noqa: E402
from inference.doors.limits import gate  # noqa: E402
from inference.serving import runtime  # noqa: E402 (needs the apps loaded)
from inference.serving.stewarding.models import Kind  # noqa: E402
from registry.access.keys import Keeper  # noqa: E402
from roundhouse.cores import settle_on_core  # noqa: E402
from roundhouse.front_door import FrontDoor  # noqa: E402
from roundhouse.handler import Handler  # noqa: E402
from roundhouse.leaving import on_stop_signal  # noqa: E402
from roundhouse.vanished import look_for_vanished_peers  # noqa: E402

look_for_vanished_peers(settings.PORT)
if settings.WEB_PINNED:
    settle_on_core(settings.DATA_DIR / "run", settings.WEB_PROCESSES)
handler = Handler()
application = FrontDoor(handler) if settings.FRONT_DOOR else handler

key_keeper = Keeper()
gate.start()
spare_collector()
runtime.start(Kind.WEB)  # reports itself as ready: what takes its time comes before
on_stop_signal(runtime.begin_end)

if settings.GRPC_PORT:
    address = grpc_server.Address(settings.BIND, settings.GRPC_PORT, is_shared=True)
    grpc = grpc_server.start(address, threads=settings.GRPC_THREADS)
    Finalize(None, grpc.stop, exitpriority=20)  # before the runtime, which it asks


def stop() -> None:
    gate.stop()
    key_keeper.stop()
    runtime.stop()


# Not atexit: the server's processes are forks of multiprocessing, which leave without running those.
Finalize(None, stop, exitpriority=10)
