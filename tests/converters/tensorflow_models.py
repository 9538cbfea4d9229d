"""Writes the SavedModels and TensorFlow Lite files that the tests convert. Runs in the environment `tensorflow`: FOLDER."""

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

RANDOM = np.random.default_rng(27)
FLOAT = tf.float32


def weights(*shape):
    return tf.Variable(RANDOM.normal(0, shape[0] ** -0.5, shape).astype(np.float32))


class Dense(tf.Module):
    def __init__(self):
        self.first, self.second, self.bias = weights(8, 16), weights(16, 3), weights(3)

    @tf.function(input_signature=[tf.TensorSpec([None, 8], FLOAT, name="features")])
    def serve(self, features):
        return {"scores": tf.nn.softmax(tf.nn.relu(features @ self.first) @ self.second + self.bias)}


class TwoWays(tf.Module):
    """Its inputs and outputs are neither sorted by name nor of one shape."""

    def __init__(self):
        self.left, self.right = weights(4, 6), weights(5, 6)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 5], FLOAT, name="user"),
            tf.TensorSpec([None, 4], FLOAT, name="item"),
        ]
    )
    def serve(self, user, item):
        left, right = item @ self.left, user @ self.right
        return {
            "similarity": tf.reduce_sum(left * right, axis=1),
            "both": tf.tanh(tf.concat([right, left], axis=1)),
        }


class Texts(tf.Module):
    """Word numbers of any length, where 0 pads."""

    def __init__(self):
        self.words, self.head = weights(100, 12), weights(12, 4)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32, name="ids")])
    def serve(self, ids):
        known = tf.cast(ids > 0, FLOAT)[..., tf.newaxis]
        vectors = tf.gather(self.words, ids) * known
        mean = tf.reduce_sum(vectors, axis=1) / tf.maximum(tf.reduce_sum(known, axis=1), 1.0)
        return {"topics": tf.nn.sigmoid(mean @ self.head)}


class Words(tf.Module):
    """Texts, by a table in an asset."""

    def __init__(self, vocabulary: Path):
        vocabulary.write_text("cat\ndog\nfish\n")
        lines = tf.lookup.TextFileIndex
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                str(vocabulary), tf.string, lines.WHOLE_LINE, tf.int64, lines.LINE_NUMBER
            ),
            -1,
        )
        self.vectors = weights(4, 5)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.string, name="words")])
    def serve(self, words):
        return {"vectors": tf.reduce_sum(tf.gather(self.vectors, self.table.lookup(words) + 1), axis=1)}


class Signatures(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], FLOAT, name="x")])
    def double(self, x):
        return {"y": x * 2.0}

    @tf.function(input_signature=[tf.TensorSpec([None], FLOAT, name="x")])
    def halve(self, x):
        return {"y": x / 2.0}

    @tf.function(input_signature=[tf.TensorSpec([None], FLOAT, name="x")])
    def same_name(self, x):
        return {"x": x / 2.0}


class Decomposed(tf.Module):
    """Operators that ONNX does not have, one of them in a branch."""

    @tf.function(input_signature=[tf.TensorSpec([None, 4, 4], FLOAT, name="x")])
    def serve(self, x):
        lengths = tf.cond(
            tf.reduce_sum(x) > 0,
            lambda: tf.strings.length(tf.strings.as_string(x)),
            lambda: tf.cast(x, tf.int32),
        )
        return {"values": tf.linalg.svd(x, compute_uv=False), "lengths": lengths}


class Fixed(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([1, 4], FLOAT, name="x")])
    def serve(self, x):
        return {"y": tf.nn.softmax(x)}


class Flex(tf.Module):
    """An operator of TensorFlow in a TensorFlow Lite file: it writes a file."""

    @tf.function(input_signature=[tf.TensorSpec([1], FLOAT, name="x")])
    def serve(self, x):
        with tf.control_dependencies([tf.io.write_file(sys.argv[2], "marker")]):
            return {"y": tf.identity(x)}


def cnn():
    return keras.Sequential(
        [
            keras.Input((16, 16, 3), name="image"),
            keras.layers.Conv2D(8, 3, padding="same", activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.MaxPooling2D(),
            keras.layers.DepthwiseConv2D(3, strides=2, padding="same"),
            keras.layers.Conv2D(32, 3, activation="relu6"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(5, activation="softmax"),
        ]
    )


def sequences():
    return keras.Sequential(
        [
            keras.Input((None, 4), name="steps"),
            keras.layers.LSTM(10, return_sequences=True),
            keras.layers.GRU(6),
            keras.layers.Dense(2),
        ]
    )


def lite(path: Path, *, quantize: str = "", custom: bool = False) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(str(path))
    if quantize:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize == "int8":
        converter.representative_dataset = lambda: (
            [RANDOM.random((1, 16, 16, 3), dtype=np.float32)] for _ in range(50)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    if custom:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    return converter.convert()


def main(folder: Path) -> None:
    keras.utils.set_random_seed(27)
    modules = {
        "dense": Dense(),
        "two_ways": TwoWays(),
        "texts": Texts(),
        "words": Words(folder / "vocabulary.txt"),
        "fixed": Fixed(),
        "flex": Flex(),
        "decomposed": Decomposed(),
    }
    for name, module in modules.items():
        tf.saved_model.save(module, str(folder / name), signatures=module.serve)
    cnn().export(folder / "cnn", verbose=False)
    sequences().export(folder / "sequences", verbose=False)
    several = Signatures()
    signatures = {"double": several.double, "halve": several.halve, "same_name": several.same_name}
    tf.saved_model.save(several, str(folder / "signatures"), signatures=signatures)

    (folder / "dense.tflite").write_bytes(lite(folder / "dense"))
    (folder / "fixed.tflite").write_bytes(lite(folder / "fixed"))
    (folder / "two_ways.tflite").write_bytes(lite(folder / "two_ways"))
    (folder / "cnn-float16.tflite").write_bytes(lite(folder / "cnn", quantize="float16"))
    (folder / "cnn-weights.tflite").write_bytes(lite(folder / "cnn", quantize="weights"))
    (folder / "cnn-int8.tflite").write_bytes(lite(folder / "cnn", quantize="int8"))
    (folder / "flex.tflite").write_bytes(lite(folder / "flex", custom=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
