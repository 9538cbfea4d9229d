"""Messages that no client would send: a named error or tensors, never anything else."""

from hypothesis import given, settings
from hypothesis import strategies as st

from inference.doors.grpc.generated import open_inference_pb2 as pb
from inference.doors.grpc.translating import read_infer
from inference.doors.oip.messages import Limits, terms_of
from inference.engine.errors import EngineError
from inference.engine.signature import DTYPES
from registry.errors import RoundhouseError

LIMITS = Limits()
PARAMETERS = st.dictionaries(
    st.sampled_from(["classification", "timeout", "priority", "shared_memory_region", "a"]),
    st.one_of(
        st.builds(pb.InferParameter, int64_param=st.integers(-(2**63), 2**63 - 1)),
        st.builds(pb.InferParameter, string_param=st.text(max_size=3)),
        st.builds(pb.InferParameter, bool_param=st.booleans()),
        st.just(pb.InferParameter()),
    ),
    max_size=2,
)  # fmt: skip
CONTENTS = st.none() | st.builds(
    pb.InferTensorContents,
    bool_contents=st.lists(st.booleans(), max_size=2), int_contents=st.lists(st.integers(-300, 300), max_size=2),
    fp32_contents=st.lists(st.floats(width=32), max_size=2), fp64_contents=st.lists(st.floats(), max_size=2),
    uint64_contents=st.lists(st.integers(0, 2**64 - 1), max_size=2), bytes_contents=st.lists(st.binary(max_size=3), max_size=2),
)  # fmt: skip
TENSORS = st.builds(
    pb.ModelInferRequest.InferInputTensor,
    name=st.sampled_from(["x", "y", ""]), datatype=st.sampled_from([*DTYPES, "BF16", ""]),
    shape=st.lists(st.integers(0, 3) | st.integers(-(2**63), 2**63 - 1), max_size=3), parameters=PARAMETERS, contents=CONTENTS,
)  # fmt: skip
OUTPUTS = st.builds(
    pb.ModelInferRequest.InferRequestedOutputTensor, name=st.text(max_size=2), parameters=PARAMETERS
)
MESSAGES = st.builds(
    pb.ModelInferRequest,
    inputs=st.lists(TENSORS, max_size=2),
    raw_input_contents=st.lists(st.binary(max_size=12), max_size=2),
    outputs=st.lists(OUTPUTS, max_size=2),
    parameters=PARAMETERS,
)


@settings(max_examples=400, deadline=None)
@given(MESSAGES)
def test_hostile_messages_end_in_a_named_error_or_in_tensors(message):
    try:
        request = read_infer(message, LIMITS)
        terms_of(request.parameters)
    except (RoundhouseError, EngineError) as error:
        assert str(error).endswith(".")
    else:
        assert all(array.nbytes <= message.ByteSize() * 8 for array in request.inputs.values())
