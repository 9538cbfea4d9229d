"""Callers of the gRPC services, without a connection."""

from inference.doors.oip.door import request_named
from registry.access.keys import admit
from tests.support.wire import a_holding


class GrpcCaller:
    """Has a key and metadata, and keeps the ids of the requests that were answered."""

    within_s = cancellation = None

    def __init__(self, key, **metadata):
        self.by, self.holding = admit(key).principal, a_holding()
        self.metadata = {name.replace("_", "-"): value for name, value in metadata.items()}
        self.told = []

    def ask(self, name, version):
        return request_named(self.by, name, version, self.cancellation)

    def set_request_id(self, request_id):
        self.told.append(request_id)
