"""Why work on a chunk ends without results."""


class ChunkFailed(Exception):
    """It cannot be answered, by anybody; the text is for people. `ends_job`: nor does it make sense to go on."""

    def __init__(self, why: str, *, ends_job: bool = False) -> None:
        self.ends_job = ends_job
        super().__init__(why)


class WorkOver(Exception):
    """The lease is somebody else's by now, or the job was cancelled."""
