"""What a message of gRPC's takes once it is parsed, read off its bytes."""

import pytest

from inference.doors.grpc.generated import open_inference_pb2 as pb
from inference.doors.grpc.generated import predictor_pb2
from inference.doors.grpc.messages import INFER, ONE_TENSOR, TENSORS, parsed_bytes

MIB = 1 << 20
Tensor, Contents = pb.ModelInferRequest.InferInputTensor, pb.InferTensorContents


def infer(**more):
    return pb.ModelInferRequest(model_name="m", **more).SerializeToString()


def typed(**contents):
    return infer(inputs=[Tensor(name="x", datatype="FP32", shape=[1], contents=Contents(**contents))])


CASES = {
    "raw-is-kept-as-it-is": (infer(raw_input_contents=[bytes(MIB)]), INFER, 2, 2.1),
    "decimals": (typed(fp32_contents=[0.5] * (MIB // 4)), INFER, 12, 15),
    "doubles": (typed(fp64_contents=[0.5] * (MIB // 8)), INFER, 6, 9),
    "short-integers": (typed(int_contents=[300] * (MIB // 2)), INFER, 32, 41),
    "many-outputs": (infer(outputs=[{}] * (MIB // 2)), INFER, 24, 45),
    "many-texts": (typed(bytes_contents=[b""] * (MIB // 2)), INFER, 32, 45),
    "features": (predictor_pb2.FeaturesRequest(features=[0.5] * (MIB // 4)).SerializeToString(), ONE_TENSOR, 12, 15),
    "many-requests": (predictor_pb2.BatchPredictRequest(requests=[{}] * (MIB // 2)).SerializeToString(), TENSORS, 24, 45),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "fields", "least", "most"), CASES.values(), ids=CASES)
def test_each_kind_of_field_has_its_price(raw, fields, least, most):
    assert least <= parsed_bytes(raw, fields) / len(raw) <= most


@pytest.mark.parametrize(
    "raw", [b"", b"\x0a", b"\x3a\xff\xff\xff\xff\x0f", b"\xff" * 100, b"\x0b" * 100, bytes(range(256))], ids=ascii
)  # fmt: skip
def test_what_is_no_message_is_left_to_the_parser(raw):
    assert 0 <= parsed_bytes(raw, INFER) <= 140 * len(raw) + 140
