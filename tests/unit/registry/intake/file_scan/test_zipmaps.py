"""A classifier's ZipMap is removed, and the runtime outputs the scores that went into it."""

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper

from registry.intake.file_scan import scan_file
from registry.intake.file_scan.errors import FileRefused
from tests.support.model_files import put_outside
from tests.support.zipmap_models import a_classifier
from tests.unit.registry.intake.file_scan.test_rewrite import rewritten
from tests.unit.registry.intake.onnx_bytes import a_file, a_graph

ROWS = np.array([[1, 2], [3, 1]], np.float32)


def without_zipmap(folder, model, data=None):
    return rewritten(folder, model.SerializeToString(), data or {}, drop_zipmap=True)


def run(content, **inputs):
    session = onnxruntime.InferenceSession(content)
    return dict(zip([each.name for each in session.get_outputs()], session.run(None, inputs), strict=True))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [(["no", "yes"], ("no", "yes")), ([0, 7], ("0", "7")), ([-1, 2**40], ("-1", str(2**40)))],
    ids=["texts", "numbers", "large numbers"],
)
def test_the_scores_come_out_as_a_tensor(tmp_path, labels, expected):
    model = a_classifier(labels)
    before = run(model.SerializeToString(), x=ROWS)

    content, plan = without_zipmap(tmp_path, model)

    after = run(content, x=ROWS)
    assert plan.labels == expected
    assert list(after) == ["label", "probabilities"]
    assert [list(row.values()) for row in before["output_probability"]] == after["probabilities"].tolist()
    (output,) = [each for each in ModelProto.FromString(content).graph.output if each.name == "probabilities"]
    assert output == helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])
    assert plan.changes == [
        "The ZipMap was removed: instead of 'output_probability', a list of maps, the model outputs 'probabilities',"
        " a tensor with 2 scores per row."
    ]
    (tmp_path / "made.onnx").write_bytes(content)
    assert scan_file(tmp_path / "made.onnx").outputs == ("label", "probabilities")


def test_unless_that_is_said_nothing_is_changed(tmp_path):
    content = a_classifier(["a", "b"]).SerializeToString()

    assert rewritten(tmp_path, content, {})[0] == content


def test_weights_come_inside_at_the_same_time(tmp_path):
    outside, data = put_outside(a_classifier(["a", "b"]))

    content, plan = rewritten(tmp_path, outside, {"any": data}, drop_zipmap=True)

    assert run(content, x=ROWS)["probabilities"].shape == (2, 2)
    assert len(plan.changes) == 2


def test_scores_that_are_given_out_already_come_once(tmp_path):
    model = a_classifier(["a", "b"])
    model.graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2]))

    content, _ = without_zipmap(tmp_path, model)

    assert list(run(content, x=ROWS)) == ["label", "probabilities"]


def test_two_of_the_same_scores_come_once(tmp_path):
    model = a_classifier(["a", "b"])
    again = model.graph.node.add()
    again.CopyFrom(next(node for node in model.graph.node if node.op_type == "ZipMap"))
    again.name, again.output[0] = "again", "more"
    output = model.graph.output.add()
    output.CopyFrom(model.graph.output[1])
    output.name = "more"

    content, _ = without_zipmap(tmp_path, model)

    assert list(run(content, x=ROWS)) == ["label", "probabilities"]


def test_labels_that_the_node_does_not_have_leave_the_columns_open(tmp_path):
    model = a_classifier(["a", "b"])
    for node in model.graph.node:
        if node.op_type == "ZipMap":
            del node.attribute[:]

    content, plan = without_zipmap(tmp_path, model)

    (output,) = [each for each in ModelProto.FromString(content).graph.output if each.name == "probabilities"]
    assert [dim.HasField("dim_value") for dim in output.type.tensor_type.shape.dim] == [False, False]
    assert plan.labels == ()


def test_notes_of_the_exporter_about_both_values_go_too(tmp_path):
    model = a_classifier(["a", "b"])
    model.graph.value_info.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [9, 2]))

    content, _ = without_zipmap(tmp_path, model)

    assert run(content, x=ROWS)["probabilities"].shape == (2, 2)
    assert not ModelProto.FromString(content).graph.value_info


class TestRefused:
    def refusal(self, folder, model):
        with pytest.raises(FileRefused) as caught:
            without_zipmap(folder, model)
        return caught.value

    def test_a_file_without_one(self, tmp_path):
        error = self.refusal(tmp_path, ModelProto.FromString(a_file()))

        assert error.code == "zipmap_refused" and "has no ZipMap" in str(error)

    def test_one_of_another_domain_is_none(self, tmp_path):
        model = a_classifier(["a", "b"])
        for node in model.graph.node:
            node.domain = ""

        assert "has no ZipMap" in str(self.refusal(tmp_path, model))

    @pytest.mark.parametrize("where", ["node", "inner node", "inner output", "another ZipMap"])
    def test_one_whose_maps_the_model_uses(self, tmp_path, where):
        model = a_classifier(["a", "b"])
        asks = helper.make_node("SequenceLength", ["output_probability"], ["n"])
        if where == "node":
            model.graph.node.append(asks)
        elif where == "inner node":
            branch = a_graph([asks], name="branch")
            model.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=branch))
        elif where == "inner output":
            branch = helper.make_graph([], "branch", [], [model.graph.output[1]])
            model.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=branch))
        else:
            model.graph.node.append(
                helper.make_node("ZipMap", ["output_probability"], ["z"], domain="ai.onnx.ml")
            )

        error = self.refusal(tmp_path, model)

        assert error.code == "zipmap_refused" and "'output_probability'" in str(error)

    @pytest.mark.parametrize(
        "ends", [([], ["z"]), (["probabilities"], []), (["probabilities", "x"], ["z"]), ([""], ["z"])]
    )
    def test_one_that_is_none(self, tmp_path, ends):
        model = a_classifier(["a", "b"])
        model.graph.node.append(helper.make_node("ZipMap", *ends, domain="ai.onnx.ml"))

        assert self.refusal(tmp_path, model).code == "malformed_file"

    def test_more_than_there_may_be(self, tmp_path):
        model = a_classifier(["a", "b"])
        for number in range(100):
            model.graph.node.append(
                helper.make_node("ZipMap", ["probabilities"], [f"z{number}"], domain="ai.onnx.ml")
            )

        assert self.refusal(tmp_path, model).code == "too_much"

    def test_endless_labels(self, tmp_path):
        assert self.refusal(tmp_path, a_classifier(list(range(2_000_000, 3_500_000)))).code == "too_much"
