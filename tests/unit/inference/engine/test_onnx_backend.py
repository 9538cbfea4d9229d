"""ONNX Runtime behind the Backend protocol: what loads, what runs, what is refused, and in which words."""

import hashlib
import subprocess
import sys
import threading

import numpy as np
import pytest
from onnx import TensorProto, helper

from inference.engine import onnx_session
from inference.engine.backends import SessionOptions
from inference.engine.batch_runs import BatchConfig
from inference.engine.errors import (
    CannotCarry,
    LoadFailed,
    LocaleMissing,
    OutOfMemory,
    OutputNotText,
    RunFailed,
    RunTimedOut,
)
from inference.engine.latency import FixedPace
from inference.engine.onnx_backend import CPU, CUDA, OnnxBackend
from inference.engine.onnx_file import known_texts
from inference.tensors.prepare import prepare
from inference.tensors.signature import DTYPES, TensorSpec
from tests.support import onnx_models
from tests.support.batchers import a_batcher, a_request
from tests.support.together import in_threads

SAMPLES = {"BOOL": [[True, False, True, True]], "BYTES": [["a", "é", "", "nul\0"]]}
ROW = {"x": np.ones((1, 4), np.float32)}


def load(path, **options):
    return OnnxBackend().load(path, SessionOptions(**options))


@pytest.mark.parametrize("datatype", DTYPES)
def test_every_datatype_goes_in_and_comes_out(tmp_path, datatype):
    session = load(onnx_models.identity(tmp_path / "m.onnx", datatype))
    sample = SAMPLES.get(datatype, [[0, 1, 2, 3]])

    answer = session.run(prepare(session.signature, {"x": sample}))

    assert session.signature.inputs == (TensorSpec("x", datatype, (None, 4)),)
    assert answer["y"].dtype == DTYPES[datatype]
    assert answer["y"].tolist() == sample
    assert session.run({"x": np.empty((0, 4), DTYPES[datatype])})["y"].shape == (0, 4)


CODES = {b"\xff\xfe": 1, b"a": 2, b"\xff\0x": 3, b"": 4, b"a\xff": 5}
RAW_TEXTS = {
    "of one length": [b"\xff\xfe", b"ab"],
    "alone, with a zero byte": [b"\xff\0x"],
    "of unlike length": [b"a", b"\xff\xfe", b"", b"a\xff"],
}


@pytest.mark.parametrize("texts", RAW_TEXTS.values(), ids=RAW_TEXTS)
def test_texts_that_are_not_utf8_reach_the_model_byte_by_byte(tmp_path, texts):
    session = load(onnx_models.text_codes(tmp_path / "m.onnx", CODES))
    inputs = prepare(session.signature, {"x": [[text] for text in texts]}, online=True)

    answer = session.run(inputs, ["code"])

    assert answer["code"].ravel().tolist() == [CODES.get(text, -1) for text in texts]


@pytest.mark.parametrize("texts", RAW_TEXTS.values(), ids=RAW_TEXTS)
def test_an_output_that_is_not_utf8_is_an_error_of_its_own(tmp_path, texts):
    session = load(onnx_models.text_codes(tmp_path / "m.onnx", CODES))
    inputs = prepare(session.signature, {"x": [[text] for text in texts]}, online=True)

    with pytest.raises(OutputNotText):
        session.run(inputs)

    assert session.run(prepare(session.signature, {"x": [["a"]]}))["text"].tolist() == [["a"]]


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"\xff\0x", b"a\xff"])
def test_bytes_that_cannot_come_out_fail_no_other_request(tmp_path, raw):
    session = load(onnx_models.text_codes(tmp_path / "m.onnx", CODES))
    batcher = a_batcher(session, BatchConfig(merges=True), pace=FixedPace(6, wait_s=0.3))
    sent = [("a", None), (raw, None), (b"", None), (raw, ["code"]), ("é", None), (b"\xfe" * 9, ["code"])]
    answers = {}

    def ask(number):
        text, outputs = sent[number]
        inputs = prepare(session.signature, {"x": [[text]]}, online=True)
        try:
            answers[number] = batcher.infer_from_thread(inputs, a_request(inputs, outputs=outputs)).outputs
        except OutputNotText as error:
            answers[number] = error

    assert in_threads(len(sent), ask) == []
    assert isinstance(answers.pop(1), OutputNotText)
    assert {number: found["code"].item() for number, found in answers.items()} == {
        0: 2, 2: 4, 3: CODES[raw], 4: -1, 5: -1,
    }  # fmt: skip
    assert [answers[number]["text"].item() for number in (0, 2, 4)] == ["a", "", "é"]


def test_the_runtimes_own_reading_of_bytes_would_let_wrong_texts_through(tmp_path):
    """The negative control of the two arrays that carry bytes: objects become their `str()`, an `S` array runs on."""
    session = load(onnx_models.text_codes(tmp_path / "m.onnx", CODES))

    objects = session.run({"x": np.array([[b"a"]], object)})
    without_room = session.run({"x": np.frombuffer(b"abcd\0\0\0\0", "S2", count=2).reshape(2, 1)})

    assert objects["text"].tolist() == [["b'a'"]]
    assert without_room["text"].tolist() == [["abcd"], ["cd"]]


def test_bound_runs_give_the_same_answers(tmp_path):
    """The path that CUDA takes, here with the CPU as the device."""
    plain = load(onnx_models.sum_and_difference(tmp_path / "m.onnx"))
    bound = load(tmp_path / "m.onnx")
    bound._device = "cpu"
    inputs = {"a": np.array([[5, 6]], np.float32), "b": np.asfortranarray([[1, 2]], np.float32)}

    for names in (None, ["difference"]):
        expected, got = plain.run(inputs, names), bound.run(inputs, names)
        assert {name: array.tolist() for name, array in got.items()} == {
            name: array.tolist() for name, array in expected.items()
        }


def test_several_inputs_and_chosen_outputs(tmp_path):
    session = load(onnx_models.sum_and_difference(tmp_path / "m.onnx"))
    inputs = prepare(session.signature, {"b": [[1, 2]], "a": [[5, 6]]})

    assert [spec.name for spec in session.signature.outputs] == ["sum", "difference"]
    answer = {name: array.tolist() for name, array in session.run(inputs).items()}
    assert answer == {"sum": [[6, 8]], "difference": [[4, 4]]}
    assert list(session.run(inputs, ["difference"])) == ["difference"]


def test_an_input_with_a_value_of_its_own_is_optional(tmp_path):
    session = load(onnx_models.scaled(tmp_path / "m.onnx", 3.0))

    assert session.signature.inputs[1] == TensorSpec("factor", "FP32", (1,), optional=True)
    assert session.run(prepare(session.signature, {"x": [[1, 1, 1, 1]]}))["y"][0, 0] == 3
    assert session.run(prepare(session.signature, {"x": [[1, 1, 1, 1]], "factor": [5]}))["y"][0, 0] == 5


def test_an_optional_typed_input_may_be_left_out(tmp_path):
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [None]))
    onnx_models.save(
        tmp_path / "m.onnx",
        [helper.make_node("OptionalHasElement", ["maybe"], ["is_there"])],
        [helper.make_value_info("maybe", kind)],
        [onnx_models.value("is_there", (), TensorProto.BOOL)],
    )
    session = load(tmp_path / "m.onnx")

    assert session.run(prepare(session.signature, {}))["is_there"].item() is False
    assert session.run(prepare(session.signature, {"maybe": [1.0]}))["is_there"].item() is True


@pytest.mark.parametrize(
    ("shape", "wanted", "any_rank", "batchable"),
    [
        (("rows", 4), (None, 4), False, True),
        ((1, 4), (1, 4), False, False),
        ((), (), False, False),
        (None, (), True, False),
    ],
    ids=["dynamic", "fixed", "scalar", "undeclared"],
)
def test_shapes_are_told_as_the_file_declares_them(tmp_path, shape, wanted, any_rank, batchable):
    signature = load(onnx_models.identity(tmp_path / "m.onnx", "FP32", shape)).signature

    for spec in signature.inputs + signature.outputs:
        assert (spec.shape, spec.any_rank) == (wanted, any_rank)
    assert signature.has_row_axis is batchable


def test_a_fixed_batch_axis_refuses_more_rows_and_goes_on(tmp_path):
    session = load(onnx_models.identity(tmp_path / "m.onnx", "FP32", (1, 4)))

    with pytest.raises(RunFailed, match="Got: 2 Expected: 1"):
        session.run({"x": np.zeros((2, 4), np.float32)})

    assert session.run(ROW)["y"].tolist() == [[1, 1, 1, 1]]


class TestSoftLimit:
    def test_ends_an_endless_loop_and_the_session_goes_on(self, tmp_path):
        session = load(onnx_models.endless(tmp_path / "m.onnx"))

        for _ in range(2):
            with pytest.raises(RunTimedOut, match=r"longer than its limit of 0\.05 s"):
                session.run(ROW, soft_limit_s=0.05)

    def test_without_the_watchdog_the_loop_would_go_on(self, tmp_path, monkeypatch):
        """Negative control: what ends the loop is the watchdog, not the model and not the limit itself."""
        session, ended = load(onnx_models.endless(tmp_path / "m.onnx")), threading.Event()
        limits = []
        monkeypatch.setattr(onnx_session._watchdog, "watch", limits.append)

        def run():
            with pytest.raises(RunFailed) as caught:
                session.run(ROW, soft_limit_s=0.05)
            assert not isinstance(caught.value, RunTimedOut)
            ended.set()

        thread = threading.Thread(target=run)
        thread.start()

        assert not ended.wait(0.2)
        limits[0].run_options.terminate = True
        assert ended.wait(10)
        thread.join()

    def test_of_one_run_leaves_its_neighbours_alone(self, tmp_path):
        endless = load(onnx_models.endless(tmp_path / "endless.onnx"))
        quick = load(onnx_models.identity(tmp_path / "quick.onnx"))
        failures = []

        def loop():
            try:
                endless.run(ROW, soft_limit_s=0.2)
            except RunTimedOut as error:
                failures.append(error)

        threads = [threading.Thread(target=loop) for _ in range(3)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert quick.run(ROW, soft_limit_s=5)["y"][0, 0] == 1

        assert len(failures) == 3
        assert not onnx_session._watchdog._watched

    def test_an_earlier_limit_is_kept_while_a_later_one_is_watched(self, tmp_path):
        session, started = load(onnx_models.endless(tmp_path / "m.onnx")), threading.Event()

        def run_late():
            started.set()
            with pytest.raises(RunFailed):
                session.run(ROW, soft_limit_s=600)

        late = threading.Thread(target=run_late)
        late.start()
        started.wait()

        with pytest.raises(RunTimedOut, match=r"0\.05 s"):
            session.run(ROW, soft_limit_s=0.05)

        assert late.is_alive()
        while late.is_alive():
            for limit in tuple(onnx_session._watchdog._watched):
                limit.run_options.terminate = True
            late.join(0.01)


REFUSED = {
    "empty": b"",
    "garbage": b"garbage" * 100,
    "zip": b"PK\x03\x04" + bytes(100),
    "half a varint": b"\x08\x80",
}


@pytest.mark.parametrize("content", [*REFUSED.values(), None], ids=[*REFUSED, "cut"])
def test_files_that_are_no_models_are_refused_in_a_sentence(tmp_path, content):
    path = onnx_models.scaled(tmp_path / "m.onnx", 2.0)
    path.write_bytes(path.read_bytes()[:-10] if content is None else content)

    with pytest.raises(LoadFailed, match=r"The file could not be loaded: .+\.$") as caught:
        load(path)

    assert "/" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_told_without_its_path(tmp_path):
    with pytest.raises(LoadFailed, match="could not be read") as caught:
        load(tmp_path / "nowhere.onnx")

    assert "nowhere" not in str(caught.value)


@pytest.mark.parametrize("kind", [TensorProto.BFLOAT16, TensorProto.COMPLEX64])
def test_an_input_that_cannot_be_sent_is_refused_at_load(tmp_path, kind):
    identity = [helper.make_node("Identity", ["x"], ["y"])]
    ends = [[onnx_models.value(name, (1,), kind)] for name in "xy"]
    path = onnx_models.save(tmp_path / "m.onnx", identity, *ends)

    with pytest.raises(LoadFailed):
        load(path)


def test_a_sequence_input_is_refused_and_named(tmp_path):
    path = onnx_models.save(
        tmp_path / "m.onnx",
        [helper.make_node("SequenceLength", ["all"], ["y"])],
        [helper.make_tensor_sequence_value_info("all", TensorProto.FLOAT, None)],
        [onnx_models.value("y", (), TensorProto.INT64)],
    )

    with pytest.raises(CannotCarry, match=r"expects 'all', a seq\(tensor\(float\)\), which cannot be sent"):
        load(path)


def test_an_output_that_cannot_be_carried_is_left_out_and_the_others_answer(tmp_path):
    path = onnx_models.save(
        tmp_path / "m.onnx",
        [helper.make_node("SequenceConstruct", ["x"], ["all"]), helper.make_node("Neg", ["x"], ["y"])],
        [onnx_models.value("x", ("rows", 4))],
        [helper.make_tensor_sequence_value_info("all", TensorProto.FLOAT, None), onnx_models.value("y", ("rows", 4))],
    )  # fmt: skip

    session = load(path)

    assert session.left_out == ("'all', a seq(tensor(float))",)
    assert [spec.name for spec in session.signature.outputs] == ["y"]
    assert session.run({"x": np.ones((1, 4), np.float32)})["y"].tolist() == [[-1] * 4]


def test_a_missing_locale_is_named(tmp_path):
    path = onnx_models.save(
        tmp_path / "m.onnx",
        [
            helper.make_node(
                "StringNormalizer", ["x"], ["y"], case_change_action="LOWER", locale="xx_YY.UTF-8"
            )
        ],
        [onnx_models.value("x", ("words",), TensorProto.STRING)],
        [onnx_models.value("y", ("words",), TensorProto.STRING)],
    )

    with pytest.raises(LocaleMissing, match=r"The file needs the locale xx_YY\.UTF-8"):
        load(path)


def test_axes_of_one_name_are_known_and_question_marks_are_no_name(tmp_path):
    path = onnx_models.save(
        tmp_path / "m.onnx",
        [helper.make_node("Identity", ["x"], ["y"])],
        [onnx_models.value("x", ("batch", 3, "?", "p2o.DynamicDimension.1", None))],
        [onnx_models.value("y", None)],
    )

    assert load(path).axis_names["x"] == ("batch", "", "", "p2o.DynamicDimension.1", "")


class TestHash:
    def test_one_flipped_bit_is_refused_while_the_loaded_session_keeps_serving(self, tmp_path):
        path = onnx_models.scaled(tmp_path / "m.onnx", 3.0)
        checked = hashlib.sha256(path.read_bytes()).hexdigest()
        serving = load(path, expected_sha256=checked)
        content = bytearray(path.read_bytes())
        content[content.index(np.float32(3.0).tobytes())] ^= 1
        path.write_bytes(content)

        with pytest.raises(LoadFailed, match="not the one that was checked"):
            load(path, expected_sha256=checked)

        assert serving.run(ROW)["y"][0, 0] == 3

    def test_without_the_hash_the_flipped_bit_would_serve(self, tmp_path):
        """Negative control: the runtime itself does not mind."""
        path = onnx_models.scaled(tmp_path / "m.onnx", 3.0)
        content = bytearray(path.read_bytes())
        content[content.index(np.float32(3.0).tobytes())] ^= 1
        path.write_bytes(content)

        assert load(path).run(ROW)["y"][0, 0] != 3


class TestProviders:
    @pytest.mark.parametrize("asked", [CUDA, "NoSuchExecutionProvider"])
    def test_a_silent_fall_back_is_told(self, tmp_path, asked, capfd):
        session = load(onnx_models.identity(tmp_path / "m.onnx"), providers=(asked, CPU))
        if session.provider == CUDA:
            pytest.skip("a CUDA device answers here, nothing falls back")

        assert (session.provider_asked, session.provider) == (asked, CPU)
        assert session.run(ROW)["y"][0, 0] == 1
        assert capfd.readouterr() == ("", "")

    def test_options_reach_the_runtime(self, tmp_path):
        extra = {"session.set_denormal_as_zero": "1"}
        session = load(
            onnx_models.identity(tmp_path / "m.onnx"), intra_op_threads=2, graph_level="basic", extra=extra
        )
        ours = session._session.get_session_options()

        assert (ours.intra_op_num_threads, ours.inter_op_num_threads) == (2, 1)
        assert ours.graph_optimization_level.name == "ORT_ENABLE_BASIC"
        assert ours.get_session_config_entry("session.intra_op.allow_spinning") == "0"
        assert ours.get_session_config_entry("session.set_denormal_as_zero") == "1"

    @pytest.mark.parametrize(
        "options",
        [
            {"graph_level": "most"},
            {"extra": {"ep.context_file_path": "x"}},
            {"extra": {"session.model_external_initializers_file_folder_path": "/"}},
            {"extra": {f"{CUDA}.device_id": "1"}},
        ],
        ids=["graph level", "provider context", "external weights", "provider that is not asked for"],
    )
    def test_options_that_are_not_ours_to_pass_on_are_refused(self, tmp_path, options):
        with pytest.raises(LoadFailed):
            load(onnx_models.identity(tmp_path / "m.onnx"), **options)

    def test_cuda_gets_an_arena_that_grows_as_asked_and_is_bounded(self):
        from inference.engine.onnx_backend import _provider_options

        extra = {f"{CUDA}.use_ep_level_unified_stream": "1"}
        chosen = _provider_options(CUDA, SessionOptions((CUDA,), 1, arena_limit_bytes=7, extra=extra))

        assert chosen == {
            "device_id": "1",
            "arena_extend_strategy": "kSameAsRequested",
            "gpu_mem_limit": "7",
            "use_tf32": "0",
            "use_ep_level_unified_stream": "1",
        }


def test_errors_of_a_run_tell_no_path_and_keep_node_names():
    text = onnx_session.readable(
        Exception(
            "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code while running Add node. Name:'/layer/Add'"
            " Status Message: /onnxruntime_src/onnxruntime/core/add.cc:12 bool\n f()  axis == 1."
        )
    )

    assert (
        text
        == "Non-zero status code while running Add node. Name:'/layer/Add' Status Message: bool f() axis == 1"
    )


def test_a_missing_input_is_a_failed_run(tmp_path):
    with pytest.raises(RunFailed, match="The model failed on this input"):
        load(onnx_models.identity(tmp_path / "m.onnx")).run({})


def test_a_run_that_finds_no_memory_says_so_and_the_session_goes_on(tmp_path):
    session = load(onnx_models.expanding(tmp_path / "m.onnx"))

    with pytest.raises(OutOfMemory):
        session.run({"count": np.array([1 << 44])})

    assert session.run({"count": np.array([5])})["y"] == 5.0


@pytest.mark.parametrize(
    "message",
    [
        "Failed to allocate memory for requested buffer of size 70368744177664",
        "CUDA failure 2: out of memory ; GPU=0 ; hostname=x ; expr=cudaMalloc((void**)&p, size);",
        "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0",
        "Available memory of 1024 is smaller than requested bytes of 4096",
        "std::bad_alloc",
    ],
)
def test_what_the_runtime_says_when_there_is_no_memory_is_understood(message):
    assert onnx_session.is_out_of_memory(RuntimeError(message))


def test_a_closed_session_says_so(tmp_path):
    session = load(onnx_models.identity(tmp_path / "m.onnx"))

    session.close()

    with pytest.raises(RunFailed, match="closed"):
        session.run(ROW)


def test_the_footprint_is_at_least_the_file(tmp_path):
    path = onnx_models.identity(tmp_path / "m.onnx")

    assert load(path).footprint_bytes() >= path.stat().st_size


def test_importing_the_engine_imports_no_runtime():
    code = (
        "import sys, pkgutil, importlib, inference.engine as e\n"
        "for m in pkgutil.iter_modules(e.__path__): importlib.import_module('inference.engine.' + m.name)\n"
        "assert not {'onnxruntime', 'django'} & set(sys.modules)"
    )

    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_texts_that_a_file_knows_are_those_its_attributes_list(tmp_path):
    path = onnx_models.save(
        tmp_path / "m.onnx",
        [helper.make_node("LabelEncoder", ["x"], ["y"], keys_strings=["Graz", "Linz"], values_int64s=[1, 2])],
        [onnx_models.value("x", ("rows", 1), TensorProto.STRING)],
        [onnx_models.value("y", ("rows", 1), TensorProto.INT64)],
    )  # fmt: skip

    assert known_texts(path.read_bytes()) == ("Graz",)
