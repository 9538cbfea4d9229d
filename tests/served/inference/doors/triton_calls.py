"""Calls a running server with stock tritonclient; runs in that package's own environment.

Prints one JSON object: case -> what went wrong, nothing where all was right.
"""

import asyncio
import json
import sys
from types import MappingProxyType

import numpy as np
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException

HTTP, GRPC, KEY = sys.argv[1:4]
TENSORS = {
    "BOOL": np.array([[True, False, True]]),
    **{f"{sign}INT{bits}": np.array([[0, 1, np.iinfo(f"{sign.lower()}int{bits}").max]], f"{sign.lower()}int{bits}")
       for sign in ("", "U") for bits in (8, 16, 32, 64)},
    "FP16": np.array([[0.5, -1, 65504]], np.float16),
    "FP32": np.array([[0.1, -1, 3e38]], np.float32),
    "FP64": np.array([[0.1, -1, 1e308]], np.float64),
    "BYTES": np.array([["a", "ÿ€", ""]], np.object_),
}  # fmt: skip


def inputs(module, **how):
    made = []
    for datatype, array in TENSORS.items():
        tensor = module.InferInput(f"in_{datatype}", array.shape, datatype)
        if datatype == "FP16":  # the client sends no halves as JSON, so this one makes a mixed request
            tensor.set_data_from_numpy(array)
        else:
            tensor.set_data_from_numpy(array, **how)
        made.append(tensor)
    return made


def outputs(module, **how):
    return [module.InferRequestedOutput(f"out_{datatype}", **how) for datatype in TENSORS]


def differences(result):
    wrong = []
    for datatype, sent in TENSORS.items():
        got = result.as_numpy(f"out_{datatype}")
        if datatype == "BYTES":
            texts = [text.decode() if isinstance(text, bytes) else str(text) for text in got.ravel()]
            same = got.shape == sent.shape and texts == sent.ravel().tolist()
        else:
            same = got.dtype == sent.dtype and got.shape == sent.shape and got.tobytes() == sent.tobytes()
        if not same:
            wrong.append(f"{datatype}: {sent.tolist()} came back as {got.tolist()}")
    return "; ".join(wrong)


def refused(status, call, *arguments, **more):
    try:
        call(*arguments, **more)
    except InferenceServerException as error:
        return "" if error.status() == status and error.message() else f"{error.status()}: {error.message()}"
    return "not refused"


# The client writes into the headers it is given.
BEARER = MappingProxyType({"Authorization": f"Bearer {KEY}"})
PACKINGS = (None, "gzip", "deflate")
HTTP_CASES = [
    (f"{'binary' if is_binary else 'json'}-{packing or 'plain'}", {"binary_data": is_binary}, packing)
    for is_binary in (True, False) for packing in PACKINGS
]  # fmt: skip


def http_arguments(module, how, packing):
    return {
        "inputs": inputs(module, **how), "outputs": outputs(module, **how), "headers": {**BEARER}, "request_id": "mine",
        "request_compression_algorithm": packing, "response_compression_algorithm": packing,
    }  # fmt: skip


def http():
    module = tritonclient.http
    with module.InferenceServerClient(HTTP) as client:
        for case, how, packing in HTTP_CASES:
            result = client.infer("echo", **http_arguments(module, how, packing))
            yield f"http-{case}", differences(result)
            yield (
                f"http-id-{case}",
                "" if result.get_response()["id"] == "mine" else str(result.get_response()["id"]),
            )
        result = client.infer("echo", inputs(module), headers={**BEARER}, timeout=2_000_000, priority=1)
        yield "http-without-outputs", differences(result)
        future = client.async_infer("echo", inputs(module), headers={**BEARER})
        yield "http-future", differences(future.get_result())
        yield from described("http", client, {**BEARER}, lambda reply: reply)
        row = module.InferInput("features", [1, 3], "FP32").set_data_from_numpy(np.zeros((1, 3), np.float32))
        classes = client.infer(
            "ripeness",
            [row],
            headers={**BEARER},
            outputs=[module.InferRequestedOutput("probabilities", class_count=2)],
        ).as_numpy("probabilities")
        yield "http-classification", "" if classes.shape == (1, 2) and b":" in classes[0, 0] else str(classes)
        for name, call in {
            "shared-memory": client.get_system_shared_memory_status,
            "device-memory": client.get_cuda_shared_memory_status,
            "trace": client.get_trace_settings,
            "log": client.get_log_settings,
        }.items():
            yield f"http-{name}", refused("501", call, headers={**BEARER})
        yield from values("http", module, client, BEARER, "400")
        yield "http-no-key", refused("401", client.infer, "echo", inputs(module))
        yield "http-unknown-model", refused("404", client.infer, "nobody", inputs(module), headers={**BEARER})
        yield (
            "http-unknown-version",
            refused("404", client.infer, "echo", inputs(module), model_version="99", headers={**BEARER}),
        )
        yield (
            "http-fewer-inputs",
            refused("400", client.infer, "echo", inputs(module)[:3], headers={**BEARER}),
        )


async def http_aio():
    module, found = tritonclient.http.aio, {}
    async with module.InferenceServerClient(HTTP) as client:
        for case, how, packing in HTTP_CASES:
            result = await client.infer("echo", **http_arguments(module, how, packing))
            found[f"http-aio-{case}"] = differences(result)
        found["http-aio-ready"] = (
            "" if await client.is_model_ready("echo", headers={**BEARER}) else "not ready"
        )
        metadata = await client.get_model_metadata("echo", headers={**BEARER})
        found["http-aio-metadata"] = "" if metadata["name"] == "echo" else str(metadata)
    return found


def one_input(module, array, datatype):
    return [module.InferInput("x", array.shape, datatype).set_data_from_numpy(array)]


def values(prefix, module, client, headers, wrong):
    """NaN to a version that takes it, and bytes that are no text; `wrong` is how this door refuses a request."""

    def outputs(*names):
        return [module.InferRequestedOutput(name) for name in names]

    gaps = np.array([[1, np.nan, 2, -0.0]], np.float32)
    filled = client.infer("gappy", one_input(module, gaps, "FP32"), headers={**headers}).as_numpy("y")
    yield f"{prefix}-nan", "" if filled.tolist() == [[1, 0, 2, 0]] else str(filled)
    row = module.InferInput("features", [1, 3], "FP32").set_data_from_numpy(gaps[:, :3])
    yield f"{prefix}-nan-refused", refused(wrong, client.infer, "ripeness", [row], headers={**headers})

    texts = np.array([[b"\xff\xfe"], [b"a\xff"], [b""], [b"other"]], object)
    codes = client.infer(
        "codes", one_input(module, texts, "BYTES"), outputs=outputs("code"), headers={**headers}
    )
    found = codes.as_numpy("code").ravel().tolist()
    yield f"{prefix}-raw-bytes", "" if found == [1, 2, 3, -1] else str(found)
    yield (
        f"{prefix}-raw-bytes-back",
        refused(
            wrong,
            client.infer,
            "codes",
            one_input(module, texts, "BYTES"),
            outputs=outputs("text"),
            headers={**headers},
        ),
    )
    plain = np.array([["ÿ€\0"], [""]], object)
    answer = client.infer("codes", one_input(module, plain, "BYTES"), headers={**headers}).as_numpy("text")
    same = [text.decode() for text in answer.ravel()] == plain.ravel().tolist()
    yield f"{prefix}-text-back", "" if same else str(answer)

    for case, words in {
        "words": np.array(["good", "bad bad"], object),
        "column-of-words": np.array([["good"], ["bad bad"]], object),
    }.items():
        tensor = module.InferInput("text", words.shape, "BYTES").set_data_from_numpy(words)
        answer = client.infer("spoken", [tensor], headers={**headers})
        labels = [label.decode() for label in answer.as_numpy("label")]
        is_right = labels == ["positive", "negative"] and answer.as_numpy("scores").shape == (2, 3)
        yield f"{prefix}-{case}", "" if is_right else str(labels)


def described(prefix, client, headers, plain):
    """All calls but infer; `plain` makes a dict of a reply."""
    yield f"{prefix}-live", "" if client.is_server_live() else "not live"
    yield f"{prefix}-ready", "" if client.is_server_ready() else "not ready"
    yield f"{prefix}-model-ready", "" if client.is_model_ready("echo", headers=headers) else "not ready"
    server = plain(client.get_server_metadata(headers=headers))
    yield f"{prefix}-server", "" if server["name"] == "roundhouse" else str(server)
    metadata = plain(client.get_model_metadata("echo", "1", headers=headers))
    yield f"{prefix}-metadata", "" if len(metadata["inputs"]) == len(TENSORS) else str(metadata)
    config = plain(client.get_model_config("echo", headers=headers))
    config = config.get("config", config)
    yield f"{prefix}-config", "" if config["input"][0]["data_type"].startswith("TYPE_") else str(config)
    stats = plain(client.get_inference_statistics("echo", headers=headers))
    yield f"{prefix}-statistics", "" if stats["model_stats"][0]["name"] == "echo" else str(stats)
    index = plain(client.get_model_repository_index(headers=headers))
    index = index["models"] if isinstance(index, dict) else index
    yield (
        f"{prefix}-index",
        "" if ("echo", "READY") in {(m["name"], m["state"]) for m in index} else str(index),
    )
    client.load_model("echo", headers=headers)
    yield f"{prefix}-load", ""
    wrong = {"http": "400", "grpc": "StatusCode.INVALID_ARGUMENT"}[prefix]
    files = {"file:1/model.onnx": b"x" * 2**20}
    yield (
        f"{prefix}-load-config",
        refused(wrong, client.load_model, "echo", headers=headers, config="{}"),
    )
    yield (
        f"{prefix}-load-files",
        refused(wrong, client.load_model, "echo", headers=headers, config="{}", files=files),
    )


LOWER = {"authorization": f"Bearer {KEY}"}
GRPC_PACKINGS = {"plain": None, "gzip": "gzip", "deflate": "deflate"}


def grpc():
    from google.protobuf.json_format import MessageToDict

    module = tritonclient.grpc
    with module.InferenceServerClient(GRPC) as client:
        for case, packing in GRPC_PACKINGS.items():
            result = client.infer(
                "echo",
                inputs(module),
                outputs=outputs(module),
                headers=LOWER,
                request_id="mine",
                compression_algorithm=packing,
            )
            yield f"grpc-{case}", differences(result)
        yield "grpc-id", "" if result.get_response().id == "mine" else result.get_response().id
        yield from described(
            "grpc", client, LOWER, lambda reply: MessageToDict(reply, preserving_proto_field_name=True)
        )
        row = module.InferInput("features", [1, 3], "FP32")
        row.set_data_from_numpy(np.zeros((1, 3), np.float32))
        classes = client.infer(
            "ripeness",
            [row],
            headers=LOWER,
            outputs=[module.InferRequestedOutput("probabilities", class_count=2)],
        ).as_numpy("probabilities")
        yield "grpc-classification", "" if classes.shape == (1, 2) and b":" in classes[0, 0] else str(classes)
        yield from values("grpc", module, client, LOWER, "StatusCode.INVALID_ARGUMENT")
        yield "grpc-no-key", refused("StatusCode.UNAUTHENTICATED", client.infer, "echo", inputs(module))
        yield (
            "grpc-unknown-model",
            refused("StatusCode.NOT_FOUND", client.infer, "nobody", inputs(module), headers=LOWER),
        )
        yield (
            "grpc-shared-memory",
            refused("StatusCode.UNIMPLEMENTED", client.get_system_shared_memory_status, headers=LOWER),
        )
        answers = []
        client.start_stream(lambda result, error: answers.append((result, error)), headers=LOWER)
        for number in range(3):
            client.async_stream_infer("echo", inputs(module), request_id=str(number))
        client.stop_stream()
        yield (
            "grpc-stream",
            "".join(str(error) if error else differences(result) for result, error in answers),
        )
        yield (
            "grpc-stream-in-order",
            "" if [r.get_response().id for r, _ in answers] == ["0", "1", "2"] else str(answers),
        )


async def grpc_aio():
    module, found = tritonclient.grpc.aio, {}
    async with module.InferenceServerClient(GRPC) as client:
        for case, packing in GRPC_PACKINGS.items():
            result = await client.infer(
                "echo", inputs(tritonclient.grpc), headers=LOWER, compression_algorithm=packing
            )
            found[f"grpc-aio-{case}"] = differences(result)
        found["grpc-aio-ready"] = "" if await client.is_model_ready("echo", headers=LOWER) else "not ready"
    return found


def main():
    found = {}
    for calls in (http, grpc):
        try:
            found.update(calls())
        except Exception as error:  # noqa: BLE001 (told to whoever reads the cases)
            found[f"{calls.__name__}-all"] = f"{type(error).__name__}: {error}"
    for calls in (http_aio, grpc_aio):
        try:
            found.update(asyncio.run(calls()))
        except Exception as error:  # noqa: BLE001
            found[f"{calls.__name__}-all"] = f"{type(error).__name__}: {error}"
    sys.stdout.write(json.dumps(found))


main()
