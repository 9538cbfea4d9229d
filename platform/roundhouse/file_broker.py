"""The file broker's messages, there whole or not at all.

Kombu opens a message under its final name and writes it afterwards. A worker that looks in between takes an empty file for a
message, and ends: it cannot be read as JSON.
"""

import os
import uuid
from time import monotonic
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.encoding import str_to_bytes
from kombu.utils.json import dumps


class Channel(filesystem.Channel):  # type: ignore[misc]  # kombu carries no types
    def _put(self, queue: str, payload: Any, **_: Any) -> None:
        name = f"{round(monotonic() * 1000)}_{uuid.uuid4()}.{queue}.msg"
        scratch = os.path.join(self.data_folder_out, f".{name}.part")  # no reader looks for such a name
        try:
            with open(scratch, "wb") as file:
                file.write(str_to_bytes(dumps(payload)))
            os.replace(scratch, os.path.join(self.data_folder_out, name))
        except OSError as error:
            raise ChannelError(f"Cannot add a message to {self.data_folder_out}: {error}") from error


class Transport(filesystem.Transport):  # type: ignore[misc]
    Channel = Channel


def install() -> None:
    """Let `filesystem://` mean this transport in this process."""
    TRANSPORT_ALIASES["filesystem"] = f"{__name__}:Transport"
