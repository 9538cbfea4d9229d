"""Small detectors with exact scores, and policies that ask them."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from moderation.policies import services
from moderation.policies.models import Policy
from registry.catalogue import artifacts
from tests.support.factories import an_actor
from tests.support.live_models import put_live, put_ready
from tests.support.onnx_models import save, value
from tests.support.picture_models import PLAIN, SIDE, put_patches
from tests.support.text_models import put_names

# How toxic a text with this word is; that of several is the highest.
TOXIC = {"mild": 0.3, "below": 0.69, "edge": 0.7, "above": 0.71, "vile": 0.99, "nan": float("nan")}
WORDS = ["[PAD]", "[UNK]", *TOXIC]
_READING = {"tokenizer": "words.txt", "vocabulary": "words", "max_tokens": 16, "function": "none"}

SEED_POLICY = {
    "rules": [
        {"name": "toxic", "kind": "detector", "detector": "toxicity", "labels": ["toxic"],
         "code": "toxic_language", "block": 0.7},
        {"name": "personal", "kind": "detector", "detector": "personal-data", "labels": ["PER", "ID"],
         "code": "sensitive_info", "note": 0},
        {"name": "nsfw", "kind": "detector", "detector": "nsfw", "labels": ["nsfw"], "code": "nsfw_content",
         "block": 0.8},
        {"name": "weapons", "kind": "detector", "detector": "contraband", "labels": ["weapon"],
         "code": "detected_weapon", "block": 0.5},
        {"name": "drugs", "kind": "detector", "detector": "contraband", "labels": ["drugs"],
         "code": "detected_drugs", "block": 0.5},
    ]
}  # fmt: skip


def put_toxicity(folder: Path, slug: str = "toxicity", *, is_live: bool = True, **scores: float):
    """A text classifier with the labels `safe` and `toxic`. `scores`: those of other words, or others of the same."""
    table = [{**TOXIC, **scores}.get(word, 0.0) for word in WORDS]
    names = ("input_ids", "attention_mask")
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["of_tokens"], axis=0),
        helper.make_node("ReduceMax", ["of_tokens"], ["toxic"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["one", "toxic"], ["safe"]),
        helper.make_node("Cast", ["attention_mask"], ["read"], to=TensorProto.DOUBLE),
        helper.make_node("ReduceMax", ["read"], ["is_read"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["safe", "is_read"], ["safe_if_read"]),
        helper.make_node("Concat", ["safe_if_read", "toxic"], ["scores"], axis=1),
    ]
    constants = [
        numpy_helper.from_array(np.array(table, np.float64), "table"),
        numpy_helper.from_array(np.array(1.0, np.float64), "one"),
    ]
    inputs = [value(name, ("rows", "tokens"), TensorProto.INT64) for name in names]
    output = value("scores", ("rows", 2), TensorProto.DOUBLE)
    path = save(folder / f"{slug}-{len(scores)}-{is_live}.onnx", nodes, inputs, [output], constants)
    files = {"words.txt": artifacts.store(["\n".join(WORDS).encode()]).sha256}
    config = {"labels": ["safe", "toxic"], **_READING}
    put = put_live if is_live else put_ready
    return put(slug, path, task="text-classification", task_config=config, task_files=files)


def put_nsfw(folder: Path, slug: str = "nsfw"):
    """A picture is as bad as it is red: 204 of 255 is exactly 0.8."""
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Gather", ["means", "red"], ["red_means"], axis=1),
        helper.make_node("Mul", ["red_means", "most"], ["levels"]),
        helper.make_node("Round", ["levels"], ["whole_levels"]),
        helper.make_node("Cast", ["whole_levels"], ["exact"], to=TensorProto.DOUBLE),
        helper.make_node("Div", ["exact", "most_exact"], ["nsfw"]),
        helper.make_node("Sub", ["one", "nsfw"], ["safe"]),
        helper.make_node("Concat", ["safe", "nsfw"], ["scores"], axis=1),
    ]
    constants = [
        numpy_helper.from_array(np.array([0], np.int64), "red"),
        numpy_helper.from_array(np.array(255, np.float32), "most"),
        numpy_helper.from_array(np.array(255, np.float64), "most_exact"),
        numpy_helper.from_array(np.array(1, np.float64), "one"),
    ]
    pixels = value("pixels", ("pictures", 3, SIDE, SIDE))
    scores = value("scores", ("pictures", 2), TensorProto.DOUBLE)
    path = save(folder / f"{slug}.onnx", nodes, [pixels], [scores], constants)
    config = {**PLAIN, "labels": ["safe", "nsfw"], "resize": "stretch", "function": "none"}
    return put_live(slug, path, task="image-classification", task_config=config)


def put_seed_detectors(folder: Path) -> None:
    """All that SEED_POLICY asks."""
    put_toxicity(folder)
    put_names(folder, "personal-data", patterns=[{"ID": r"ID-\d+"}])
    put_nsfw(folder)
    put_patches(folder, "contraband", labels=["weapon", "drugs", "plain"])


def a_policy(content=SEED_POLICY, *, name: str = "default", is_published: bool = True, **more) -> Policy:
    """A policy, in force unless it is to be a draft."""
    by = an_actor()
    policy = services.create_policy(name=name, content=content, by=by, **more)
    if is_published:
        services.publish(policy=policy, reason="first", by=by)
        policy.refresh_from_db()
    return policy


def publish_content(policy: Policy, content) -> Policy:
    by = an_actor()
    services.save_draft(policy=policy, content=content, expected=None, by=by)
    services.publish(policy=policy, reason="next", by=by)
    policy.refresh_from_db()
    return policy
