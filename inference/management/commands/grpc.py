import signal
import threading
from typing import Any

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from inference.doors.grpc.server import ListenAddress, PortTaken, start
from inference.doors.limits.admission import admission
from inference.engine.loop import EngineLoop
from inference.serving import runtime
from inference.serving.models import ProcessKind
from registry.access.keys import KeyRefresher


class Command(BaseCommand):
    help = "Serve only gRPC, with its own engine. Web processes also serve gRPC unless it is turned off."

    def handle(self, *_: Any, **__: Any) -> None:
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        loop = EngineLoop.in_thread(uvloop.new_event_loop)
        runtime.start(ProcessKind.GRPC, loop)
        keeper = KeyRefresher()
        admission.start()
        try:
            server = start(ListenAddress(settings.BIND, settings.GRPC_PORT), loop)
            self.stdout.write(f"gRPC is served on {settings.BIND}:{server.port}.")
            self.stdout.flush()
            ended.wait()
            server.stop()
        except PortTaken as error:
            raise CommandError(str(error)) from None
        finally:
            admission.stop()
            keeper.stop()
            runtime.stop()
