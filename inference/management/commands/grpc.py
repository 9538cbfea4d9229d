import signal
import threading
from typing import Any

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from inference.doors.grpc.server import Address, PortTaken, start
from inference.doors.limits import gate
from inference.engine.loop import EngineLoop
from inference.serving import runtime
from inference.serving.stewarding.models import Kind
from registry.access.keys import KeyRefresher


class Command(BaseCommand):
    help = "Serve gRPC alone, with an engine of its own; web processes serve it too unless told not to."

    def handle(self, *_: Any, **__: Any) -> None:
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        loop = EngineLoop.in_thread(uvloop.new_event_loop)
        runtime.start(Kind.GRPC, loop)
        keeper = KeyRefresher()
        gate.start()
        try:
            server = start(Address(settings.BIND, settings.GRPC_PORT), loop)
            self.stdout.write(f"gRPC is served on {settings.BIND}:{server.port}.")
            self.stdout.flush()
            ended.wait()
            server.stop()
        except PortTaken as error:
            raise CommandError(str(error)) from None
        finally:
            gate.stop()
            keeper.stop()
            runtime.stop()
