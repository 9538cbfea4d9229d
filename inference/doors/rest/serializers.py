"""The REST door's bodies, as OpenAPI describes them. Nothing passes through these: the forms read and write."""

from typing import Any

from rest_framework import serializers

Base = serializers.Serializer[Any]


class PredictTensors(Base):
    inputs = serializers.DictField(
        help_text="Tensors by input name, as nested lists; the first axis counts rows."
    )


class PredictRows(Base):
    instances = serializers.ListField(
        help_text="Rows: the values of the only input, or objects with a value for each input.", min_length=1
    )


class PredictFeatures(Base):
    features = serializers.ListField(help_text="One row of the only input.")


class PredictData(Base):
    data = serializers.ListField(  # type: ignore[assignment]  # the metaclass takes it away
        help_text="One row of the only input; a classification says how sure it is."
    )


class _Answered(Base):
    model = serializers.CharField()
    version = serializers.IntegerField()
    arm = serializers.CharField(
        allow_blank=True, help_text="The split's arm; empty when the request named the version."
    )
    split = serializers.IntegerField(help_text="The number of the current split; 0 when there is none.")


class _Predicted(_Answered):
    request_id = serializers.CharField(help_text="Signed; send it back with what turned out to be true.")


class TensorsPredicted(_Predicted):
    outputs = serializers.DictField(help_text="Tensors by output name.")


class RowsPredicted(_Predicted):
    predictions = serializers.ListField(
        help_text="A row for each instance; objects where there are several outputs."
    )


class RowPredicted(_Predicted):
    prediction = serializers.JSONField(help_text="The only output's row.")
    confidence = serializers.FloatField(
        required=False, help_text="Of a classification asked with `data`: its largest probability."
    )


class TensorShape(Base):
    datatype = serializers.CharField()
    shape = serializers.ListField(child=serializers.IntegerField())


class DryRun(_Answered):
    valid = serializers.BooleanField(help_text="Always true: what is not valid is answered with a problem.")
    inputs = serializers.DictField(child=TensorShape(), help_text="The tensors that would have been run.")


REQUESTS = [PredictTensors, PredictRows, PredictFeatures, PredictData]
RESPONSES = [TensorsPredicted, RowsPredicted, RowPredicted, DryRun]


class TensorDescription(Base):
    name = serializers.CharField()
    datatype = serializers.CharField(help_text="As the Open Inference Protocol names it, such as FP32.")
    shape = serializers.ListField(
        child=serializers.IntegerField(allow_null=True), help_text="null: any size."
    )
    optional = serializers.BooleanField()


class SignatureResponse(Base):
    model = serializers.CharField()
    version = serializers.IntegerField()
    inputs = TensorDescription(many=True)
    outputs = TensorDescription(many=True)
    labels = serializers.ListField(
        child=serializers.CharField(), allow_null=True, help_text="Of a classification: what its scores mean."
    )
    scores = serializers.CharField(allow_null=True, help_text="Of a classification: logits or probabilities.")
    examples = serializers.DictField(
        help_text="A body for each form that this version answers; `binary` is the JSON part of a binary body."
    )
    curl = serializers.CharField(allow_null=True, help_text="The first example as a command line.")
