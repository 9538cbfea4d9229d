"""One chunk: its rows are read, answered, and written; nothing of it counts before the ledger says so."""

from collections.abc import Iterator
from contextlib import closing

from inference import rows
from inference.jobs import files
from inference.jobs.ledger import Results
from inference.jobs.models import Chunk
from inference.jobs.running.evaluating import Evaluator
from inference.jobs.running.failures import ChunkFailed
from inference.jobs.running.holding import Held
from inference.rows import Batch, ChunkPlan, Contract, FileFormat, RowError, RowsError
from inference.rows.errors import TooManyBadRows
from inference.tensors.signature import Signature


def answer(held: Held) -> Results:
    """Do a chunk and give its results; raise ChunkFailed where that cannot be, WorkOver where nobody wants it."""
    chunk = Chunk.objects.select_related("job__version__model").get(pk=held.claim.chunk_id)
    try:
        return _answer(chunk, held)
    except TooManyBadRows as error:
        raise ChunkFailed(str(error), ends_job=True) from error
    except RowsError as error:
        raise ChunkFailed(str(error)) from error
    except FileNotFoundError as error:
        raise ChunkFailed("The job's file is not there any more.", ends_job=True) from error


def _answer(chunk: Chunk, held: Held) -> Results:
    job, attempt = chunk.job, held.claim.attempt
    contract = Contract.from_json(job.contract)
    signature = Signature.from_json(job.version.signature or {})
    evaluator = Evaluator(job.version, held)
    bad: list[RowError] = []
    with closing(files.ChunkResults(chunk, attempt, contract, signature)) as made:
        with made.writer as writer:
            for batch in _batches(chunk, contract, signature, evaluator.batch_rows):
                for part, outputs in evaluator.answer(batch):
                    bad += part.bad
                    if len(part.rows):
                        bad += writer.write(part, outputs)
                if bad:
                    # Together with those of chunks that ended before; the ledger looks again at the sum.
                    contract.check_errors(job.rows_bad + len(bad), bad[-1])
        text, name = made.keep()
    return Results(writer.rows, len(bad), text, name, files.keep_errors(chunk, attempt, bad))


def _batches(chunk: Chunk, contract: Contract, signature: Signature, batch_rows: int) -> Iterator[Batch]:
    if chunk.inputs is not None:
        yield from rows.read_items(chunk.inputs, contract, signature, batch_rows, first_row=chunk.first_row)
        return
    part = ChunkPlan(chunk.index, chunk.first_row, chunk.rows, chunk.byte_from, chunk.byte_to)
    kind = FileFormat(chunk.job.input_format)
    with files.plain_input(chunk.job) as file:
        yield from rows.read_chunk(file, kind, part, contract, signature, batch_rows)
