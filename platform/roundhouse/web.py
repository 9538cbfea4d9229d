"""Entry point of a web process. The server gets the application only once the live versions are warm."""

import asyncio
import os

import django

from roundhouse.process import die_with_main_process, freeze_heap

die_with_main_process()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "roundhouse.settings")
django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402

from inference.doors.grpc import server as grpc_server  # noqa: E402
from inference.doors.limits.admission import admission  # noqa: E402
from inference.engine.loop import EngineLoop  # noqa: E402
from inference.serving import runtime  # noqa: E402 (needs the apps loaded)
from inference.serving.models import ProcessKind  # noqa: E402
from moderation.deciding import process as deciding  # noqa: E402
from registry.access.keys import KeyRefresher  # noqa: E402
from roundhouse.django_threads import DjangoThreads  # noqa: E402
from roundhouse.granian_server import call_before_stop  # noqa: E402
from roundhouse.health import Probes  # noqa: E402
from roundhouse.rsgi import Visits  # noqa: E402
from roundhouse.spool import Spool  # noqa: E402
from roundhouse.web_loop import WebLoop  # noqa: E402


class Application:
    """What the server calls: at the start, for each request, and at the end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._key_keeper = KeyRefresher()
        admission.start()
        self._probes = Probes()
        freeze_heap()
        deciding.start()
        engine_loop = EngineLoop(loop)
        runtime.start(
            ProcessKind.WEB, engine_loop
        )  # reports this process as ready, so slow steps come before it
        self._grpc = None
        if settings.GRPC_PORT:
            address = grpc_server.ListenAddress(settings.BIND, settings.GRPC_PORT, is_shared=True)
            self._grpc = grpc_server.start(address, engine_loop)
        self._spool = Spool(loop)
        self._django = DjangoThreads(self._spool)
        self._web_loop = WebLoop(Visits(loop), self._django, self._probes, self._spool)
        self.__rsgi__ = self._web_loop.__call__

    def begin_stop(self) -> None:
        """The server accepts no more connections, and waits for the requests in progress."""
        self._web_loop.is_leaving = True
        runtime.begin_shutdown()

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """The server has left its loop, but gRPC's calls still need it."""
        loop.run_until_complete(asyncio.to_thread(self._stop))

    def _stop(self) -> None:
        if self._grpc is not None:
            self._grpc.stop()  # before the runtime, which it uses
        self._django.close()
        self._spool.close()
        deciding.stop()  # writes what is waiting
        self._probes.stop()
        admission.stop()
        self._key_keeper.stop()
        runtime.stop()


# The server has created its loop but has not started it yet.
application = Application(asyncio.get_event_loop())
call_before_stop(application.begin_stop)
