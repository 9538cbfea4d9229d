"""Files of pictures for measuring and for golden sets, and how a trained model is run on them."""

import base64
import io
import json
import timeit
import zipfile

import numpy as np
import onnxruntime
from drawing import encoded, random_size

from inference.tensors.signature import Signature, TensorSpec

GOLDEN_PICTURES = 12
MOST_SAMPLE_BYTES, MOST_GOLDEN_BYTES = 2_900, 4_500
JPEG_START = b"\xff\xd8"


def picture_files(random, scene, *, smallest, largest):
    """Endless pairs of a picture file and its shapes: JPEG and PNG, of all sizes between the two."""
    while True:
        longest = round(np.exp(random.uniform(np.log(smallest), np.log(largest))))
        width, height = random_size(random, longest)
        picture, shapes = scene.draw(random, width, height)
        is_jpeg = random.random() < 0.7
        options = {"quality": int(random.integers(60, 96))} if is_jpeg else {}
        yield encoded(picture, "JPEG" if is_jpeg else "PNG", **options), shapes


def small_files(random, scene, most_bytes):
    """Endless pairs of a file that is not larger, and its shapes."""
    files = picture_files(random, scene, smallest=200, largest=320)
    return ((data, shapes) for data, shapes in files if len(data) <= most_bytes)


def sample_of(data):
    return {"image": base64.b64encode(data).decode()}


def golden_zip(pairs, label_of):
    """The bytes of a zip with pictures, and their labels in `labels.jsonl`."""
    file, lines = io.BytesIO(), []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (data, shapes) in enumerate(pairs, 1):
            name = f"{number:02}.{'jpg' if data.startswith(JPEG_START) else 'png'}"
            archive.writestr(zipfile.ZipInfo(name), data)
            lines.append(json.dumps({"image": name, "label": label_of(shapes)}) + "\n")
        archive.writestr(zipfile.ZipInfo("labels.jsonl"), "".join(lines))
    return file.getvalue()


def box_label(shapes, labels):
    return [
        {"label": labels[label], "box": [round(float(edge), 1) for edge in corners]}
        for label, corners in shapes
    ]


def open_model(model, task, config):
    """What answers a picture file as the task does, and how many milliseconds the model alone takes for one, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    pipeline = task(config, {}, Signature(_specs(session.get_inputs()), _specs(session.get_outputs())))

    def run(inputs):
        return dict(zip(names, session.run(None, inputs), strict=True))

    def answer(data):
        return pipeline.answer({"image": data}, run)[0]

    (spec,) = session.get_inputs()
    picture = {spec.name: np.zeros((1, *spec.shape[1:]), np.float32)}
    times = timeit.repeat(lambda: run(picture), number=1, repeat=200)
    return answer, 1_000 * float(np.median(times))


def _specs(values):
    return tuple(
        TensorSpec(one.name, "FP32", tuple(size if isinstance(size, int) else None for size in one.shape))
        for one in values
    )
