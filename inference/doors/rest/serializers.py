"""The bodies of predictions over REST, as OpenAPI describes them. The doors themselves read and write them without these."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from inference.pipelines.entities import Grouping
from inference.pipelines.pictures import MAX_PICTURES
from inference.pipelines.ranking import MAX_CANDIDATES
from inference.pipelines.recommendation import MAX_USERS
from inference.pipelines.spans import OffsetUnit
from inference.pipelines.tables import MAX_ROWS
from inference.pipelines.texts import MAX_TEXTS
from inference.serving.item_urls import MOST_URLS

Base = serializers.Serializer[Any]
_ID: dict[str, Any] = {"oneOf": [{"type": "string"}, {"type": "integer"}]}
_ROW: dict[str, Any] = {
    "oneOf": [{"type": "object", "additionalProperties": {}}, {"type": "array", "items": {}}]
}


@extend_schema_field(_ID)
class _IdField(serializers.JSONField): ...


@extend_schema_field({"oneOf": [*_ID["oneOf"], {"type": "array", "items": _ID}]})
class _IdOrIdsField(serializers.JSONField): ...


@extend_schema_field(_ROW)
class _RowField(serializers.JSONField): ...


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
    data = serializers.ListField(  # type: ignore[assignment]  # the metaclass removes it
        help_text="One row of the only input, answered with one number."
    )


class _OfModel(Base):
    model = serializers.CharField(
        required=False, help_text="`name` or `name@alias`; the default Model of this address without it."
    )


class PredictFeaturesOfModel(PredictFeatures, _OfModel): ...


class PredictDataOfModel(PredictData, _OfModel): ...


class _TopK(Base):
    top_k = serializers.IntegerField(
        required=False,
        min_value=1,
        help_text="How many labels to return; only for labels.",
    )


class _Offsets(Base):
    offset_unit = serializers.ChoiceField(
        choices=list(OffsetUnit), required=False, help_text="What `start` and `end` count."
    )


class _Grouping(Base):
    grouping = serializers.ChoiceField(
        choices=list(Grouping),
        required=False,
        help_text="For entities: how tokens become entities, instead of the version's way.",
    )


class _Text(Base):
    text = serializers.CharField()


class _Texts(Base):
    texts = serializers.ListField(child=serializers.CharField(), min_length=1, max_length=MAX_TEXTS)


class _Image(Base):
    image = serializers.CharField(help_text="A JPEG, PNG, WebP or GIF as base64 text, or as a data URL.")


class _Images(Base):
    images = serializers.ListField(child=serializers.CharField(), min_length=1, max_length=MAX_PICTURES)


class _ImageUrl(Base):
    image_url = serializers.CharField(
        help_text="Where the picture is. Fetched only from the hosts in `ROUNDHOUSE_ITEM_HOSTS`."
    )


class _ImageUrls(Base):
    image_urls = serializers.ListField(child=serializers.CharField(), min_length=1, max_length=MOST_URLS)


class _Threshold(Base):
    threshold = serializers.FloatField(
        required=False,
        min_value=0,
        max_value=1,
        help_text="For object-detection: the least confidence of a box.",
    )


class _ImageFile(Base):
    image = serializers.FileField(required=False, help_text="A JPEG, PNG, WebP or GIF.")
    images = serializers.ListField(
        child=serializers.FileField(), required=False, max_length=MAX_PICTURES, help_text="Several, instead."
    )


class _TopItems(Base):
    top_k = serializers.IntegerField(required=False, min_value=1, help_text="How many to return at most.")


class _User(_TopItems):
    user = _IdField(help_text="The id of a user.")
    exclude = serializers.ListField(
        child=_IdField(), required=False, help_text="Ids of items that the user does not get."
    )


class _Users(_TopItems):
    users = serializers.ListField(child=_IdField(), min_length=1, max_length=MAX_USERS)
    exclude = serializers.ListField(
        child=_IdOrIdsField(),
        required=False,
        help_text="Ids of items that none of the users gets, or a list of ids for each user.",
    )


class _Candidates(_TopItems):
    user = _RowField(help_text="The user's features: an object by name, or a list.")
    candidates = serializers.ListField(
        child=_RowField(),
        min_length=1,
        max_length=MAX_CANDIDATES,
        help_text="The features of each candidate, likewise.",
    )


class _CandidatesOfUsers(_TopItems):
    users = serializers.ListField(child=_RowField(), min_length=1, max_length=MAX_USERS)
    candidates = serializers.ListField(
        child=serializers.ListField(child=_RowField(), min_length=1),
        help_text="The candidates of each user.",
    )


class PredictText(_Text, _TopK, _Offsets, _Grouping): ...


class PredictTexts(_Texts, _TopK, _Offsets, _Grouping): ...


class PredictImage(_Image, _TopK, _Threshold): ...


class PredictImages(_Images, _TopK, _Threshold): ...


class PredictImageUrl(_ImageUrl, _TopK, _Threshold): ...


class PredictImageUrls(_ImageUrls, _TopK, _Threshold): ...


class PredictTableRow(_TopK):
    row = _RowField(help_text="A value for each column: an object by name, or a list.")


class PredictTableRows(_TopK):
    rows = serializers.ListField(child=_RowField(), min_length=1, max_length=MAX_ROWS)


class PredictUser(_User): ...


class PredictUsers(_Users): ...


class PredictCandidates(_Candidates): ...


class PredictCandidatesOfUsers(_CandidatesOfUsers): ...


class PredictForm(_ImageFile, _TopK, _Threshold): ...


class ClassifyText(_Text, _TopK, _OfModel): ...


class ClassifyTexts(_Texts, _TopK, _OfModel): ...


class ClassifyImage(_Image, _TopK, _OfModel): ...


class ClassifyImages(_Images, _TopK, _OfModel): ...


class ClassifyImageUrl(_ImageUrl, _TopK, _OfModel): ...


class ClassifyImageUrls(_ImageUrls, _TopK, _OfModel): ...


class ClassifyForm(_ImageFile, _TopK, _OfModel): ...


class DetectImage(_Image, _Threshold, _OfModel): ...


class DetectImages(_Images, _Threshold, _OfModel): ...


class DetectImageUrl(_ImageUrl, _Threshold, _OfModel): ...


class DetectImageUrls(_ImageUrls, _Threshold, _OfModel): ...


class DetectForm(_ImageFile, _Threshold, _OfModel): ...


class EntitiesText(_Text, _Offsets, _Grouping, _OfModel): ...


class EntitiesTexts(_Texts, _Offsets, _Grouping, _OfModel): ...


class RecommendUser(_User, _OfModel): ...


class RecommendUsers(_Users, _OfModel): ...


class RankCandidates(_Candidates, _OfModel): ...


class RankCandidatesOfUsers(_CandidatesOfUsers, _OfModel): ...


class _Answered(Base):
    model = serializers.CharField()
    version = serializers.IntegerField()
    arm = serializers.CharField(
        allow_blank=True, help_text="The split's arm; empty when the request named the version."
    )
    split = serializers.IntegerField(help_text="The number of the current split; 0 when there is none.")


class _Predicted(_Answered):
    request_id = serializers.CharField(help_text="Signed; send it back with the actual outcome.")
    preprocessing = serializers.CharField(
        required=False,
        help_text="Versions with the same one turn requests and outputs into the same things. Tasks that do neither have none.",
    )


class TensorsPredicted(_Predicted):
    outputs = serializers.DictField(help_text="Tensors by output name.")


class RowsPredicted(_Predicted):
    predictions = serializers.ListField(
        help_text="A row for each instance; objects where there are several outputs."
    )


class RowPredicted(_Predicted):
    prediction = serializers.ListField(help_text="The only output's row, for `features`.")


class NumberPredicted(_Predicted):
    """For `data`."""

    prediction = serializers.FloatField(
        help_text="Of a classification the index of the likeliest class; else the output's first number."
    )
    confidence = serializers.FloatField(help_text="Of a classification how likely that class is; else 0.")


class LabelScore(Base):
    label = serializers.CharField()  # type: ignore[assignment]  # the metaclass removes it
    score = serializers.FloatField()


class LabelsOfText(Base):
    label = serializers.CharField(help_text="The best one.")  # type: ignore[assignment]  # the metaclass removes it
    confidence = serializers.FloatField(help_text="Its score.")
    labels = LabelScore(many=True, help_text="Best first; `top_k` of them.")
    tokens_given = serializers.IntegerField(
        allow_null=True, help_text="Tokens of the text; null if the model reads texts itself."
    )
    tokens_used = serializers.IntegerField(
        allow_null=True, help_text="Tokens that the model read: fewer than given if the text was cut."
    )


class TextLabelled(LabelsOfText, _Predicted): ...


class TextsLabelled(_Predicted):
    answers = LabelsOfText(many=True, help_text="One for each text.")


class _OfPicture(Base):
    width = serializers.IntegerField(help_text="Of the picture, once it is turned as its EXIF data say.")
    height = serializers.IntegerField()
    frames = serializers.IntegerField(help_text="How many frames the file has; the first one was read.")


class LabelsOfPicture(_OfPicture):
    label = serializers.CharField(help_text="The best one.")  # type: ignore[assignment]  # the metaclass removes it
    confidence = serializers.FloatField(help_text="Its score.")
    labels = LabelScore(many=True, help_text="Best first; `top_k` of them.")


class PictureLabelled(LabelsOfPicture, _Predicted): ...


class PicturesLabelled(_Predicted):
    answers = LabelsOfPicture(many=True, help_text="One for each picture.")


class BoxCorners(Base):
    x1 = serializers.FloatField()
    y1 = serializers.FloatField()
    x2 = serializers.FloatField()
    y2 = serializers.FloatField()


class DetectedObject(Base):
    label = serializers.CharField()  # type: ignore[assignment]  # the metaclass removes it
    confidence = serializers.FloatField()
    box = BoxCorners(help_text="Its corners, in pixels of the picture.")


class ObjectsOfPicture(_OfPicture):
    label = serializers.CharField(  # type: ignore[assignment]  # the metaclass removes it
        allow_null=True, help_text="The best one's; null if nothing was found."
    )
    confidence = serializers.FloatField(allow_null=True)
    box = BoxCorners(allow_null=True)
    objects = DetectedObject(many=True, help_text="Best first.")


class ObjectsDetected(ObjectsOfPicture, _Predicted): ...


class ObjectsOfPicturesDetected(_Predicted):
    answers = ObjectsOfPicture(many=True, help_text="One for each picture.")


class FoundEntity(Base):
    label = serializers.CharField()  # type: ignore[assignment]  # the metaclass removes it
    text = serializers.CharField(help_text="The piece of the text.")
    start = serializers.IntegerField()
    end = serializers.IntegerField()
    score = serializers.FloatField()


class EntitiesOfText(Base):
    entities = FoundEntity(many=True, help_text="In the order of the text; none overlaps another.")
    offset_unit = serializers.ChoiceField(choices=list(OffsetUnit), help_text="What `start` and `end` count.")
    tokens_given = serializers.IntegerField()
    tokens_used = serializers.IntegerField()


class EntitiesFound(EntitiesOfText, _Predicted): ...


class EntitiesOfTextsFound(_Predicted):
    answers = EntitiesOfText(many=True, help_text="One for each text.")


class LabelsOfRow(Base):
    label = serializers.CharField(help_text="The best one.")  # type: ignore[assignment]  # the metaclass removes it
    confidence = serializers.FloatField(help_text="Its score.")
    labels = LabelScore(many=True, help_text="Best first; `top_k` of them.")


class RowLabelled(LabelsOfRow, _Predicted): ...


class RowsLabelled(_Predicted):
    answers = LabelsOfRow(many=True, help_text="One for each row.")


@extend_schema_field({"oneOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}]})
class _ValueField(serializers.JSONField): ...


class ValueOfRow(Base):
    value = _ValueField(help_text="A number, or a list where the model gives several.")


class RowComputed(ValueOfRow, _Predicted): ...


class RowsComputed(_Predicted):
    answers = ValueOfRow(many=True, help_text="One for each row.")


class ItemsForUser(Base):
    items = serializers.ListField(child=_IdField(), help_text="Ids, best first; `top_k` of them at most.")
    scores = serializers.ListField(child=serializers.FloatField(), help_text="Their scores.")
    fallback = serializers.BooleanField(
        help_text="The user is not known, and these are for the version's fallback user."
    )


class ItemsRecommended(ItemsForUser, _Predicted): ...


class ItemsForUsersRecommended(_Predicted):
    answers = ItemsForUser(many=True, help_text="One for each user.")


class OrderOfCandidates(Base):
    indices = serializers.ListField(
        child=serializers.IntegerField(),
        help_text="Places of the candidates in the request, from 0, best first.",
    )
    scores = serializers.ListField(child=serializers.FloatField(), help_text="Their scores.")


class CandidatesRanked(OrderOfCandidates, _Predicted): ...


class CandidatesOfUsersRanked(_Predicted):
    answers = OrderOfCandidates(many=True, help_text="One for each user.")


class TensorShape(Base):
    datatype = serializers.CharField()
    shape = serializers.ListField(child=serializers.IntegerField())


class DryRun(_Answered):
    valid = serializers.BooleanField(help_text="Always true: an invalid request gets an error response.")
    inputs = serializers.DictField(child=TensorShape(), help_text="The tensors of the first run.")
    runs = serializers.IntegerField(
        help_text="How many runs of the model the request would take: texts of different lengths do not share one."
    )


REQUESTS = [
    PredictTensors, PredictRows, PredictFeatures, PredictData, PredictText, PredictTexts, PredictImage, PredictImages,
    PredictImageUrl, PredictImageUrls, PredictTableRow, PredictTableRows, PredictUser, PredictUsers, PredictCandidates,
    PredictCandidatesOfUsers,
]  # fmt: skip
ONE_ROW_REQUESTS = [PredictFeaturesOfModel, PredictDataOfModel]
CLASSIFY_REQUESTS = [
    ClassifyText, ClassifyTexts, ClassifyImage, ClassifyImages, ClassifyImageUrl, ClassifyImageUrls,
]  # fmt: skip
DETECT_REQUESTS = [DetectImage, DetectImages, DetectImageUrl, DetectImageUrls]
ENTITIES_REQUESTS = [EntitiesText, EntitiesTexts]
RECOMMEND_REQUESTS = [RecommendUser, RecommendUsers]
RANK_REQUESTS = [RankCandidates, RankCandidatesOfUsers]
LABELLED = [TextLabelled, TextsLabelled, PictureLabelled, PicturesLabelled]
DETECTED, FOUND = [ObjectsDetected, ObjectsOfPicturesDetected], [EntitiesFound, EntitiesOfTextsFound]
# Generated clients take the first that fits, and RowPredicted has fewer fields.
ONE_ROW_PREDICTED = [NumberPredicted, RowPredicted]
RECOMMENDED, RANKED = (
    [ItemsRecommended, ItemsForUsersRecommended],
    [CandidatesRanked, CandidatesOfUsersRanked],
)
RESPONSES = [
    TensorsPredicted, RowsPredicted, *ONE_ROW_PREDICTED, *LABELLED, *DETECTED, *FOUND, RowLabelled, RowsLabelled, RowComputed,
    RowsComputed, *RECOMMENDED, *RANKED, DryRun,
]  # fmt: skip


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
        child=serializers.CharField(),
        allow_null=True,
        help_text="For a classification: the class names, in the order of its scores.",
    )
    scores = serializers.CharField(
        allow_null=True, help_text="For a classification: logits or probabilities."
    )
    examples = serializers.DictField(
        help_text="A body for each form that this version answers; `binary` is the JSON part of a binary body."
    )
    curl = serializers.CharField(allow_null=True, help_text="The first example as a command line.")
