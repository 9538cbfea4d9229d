"""What stands about contents, and what is known of authors and queues, as callers get it."""

from typing import Any

from rest_framework import serializers

from inference.doors.rest.serializers import Base
from moderation.review.finals import final_answer
from moderation.review.models import FINAL_RULINGS, MAKERS, AccountProposal, Effect, FinalDecision, Strike


class NoticeText(Base):
    language = serializers.CharField()
    subject = serializers.CharField()
    body = serializers.CharField()


class StandingAnswer(Base):
    """What stands about a content, with the notice to its author."""

    sequence = serializers.IntegerField(
        help_text="Rises with each final decision about the content. The highest counts."
    )
    decision = serializers.ChoiceField(FINAL_RULINGS)
    safe = serializers.BooleanField()
    action = serializers.CharField(help_text="Such as remove; blocked or allowed if nobody was involved.")
    effect = serializers.ChoiceField(Effect.choices)
    violations = serializers.ListField(child=serializers.CharField())
    decided_by = serializers.ChoiceField(MAKERS)
    replaces = serializers.IntegerField(allow_null=True, help_text="The sequence of the one before.")
    notice = NoticeText(allow_null=True, help_text="In the content's language.")
    at = serializers.DateTimeField()

    def to_representation(self, final: FinalDecision) -> dict[str, Any]:
        return super().to_representation(final_answer(final))


class StrikeSerializer(serializers.ModelSerializer[Strike]):
    content_key = serializers.CharField(
        source="final.content_key", help_text="The content's id; its request id if it has none."
    )
    sequence = serializers.IntegerField(source="final.sequence", help_text="Of the final decision.")

    class Meta:
        model = Strike
        fields = ["weight", "content_key", "sequence", "made_at", "expires_at"]


class ProposalSerializer(serializers.ModelSerializer[AccountProposal]):
    action = serializers.CharField(source="action.name")
    effect = serializers.ChoiceField(Effect.choices, source="action.effect")

    class Meta:
        model = AccountProposal
        fields = ["action", "effect", "weight", "made_at"]


class AuthorSerializer(Base):
    author_id = serializers.CharField()
    contents = serializers.IntegerField(help_text="About which something final was decided.")
    restricted = serializers.IntegerField(help_text="Of these, how many are restricted now.")
    strikes = StrikeSerializer(many=True, help_text="That count now, newest first; at most 100.")
    strike_weight = serializers.FloatField(help_text="The sum of all strikes that count now.")
    proposals = ProposalSerializer(many=True, help_text="Account actions that wait for a person.")


class WaitingCasesSerializer(Base):
    waiting = serializers.IntegerField()
    overdue = serializers.IntegerField()
    oldest_seconds = serializers.IntegerField(allow_null=True, help_text="null if nothing waits.")


class QueueSerializer(WaitingCasesSerializer):
    name = serializers.CharField()
    title = serializers.CharField()


class QueuesSerializer(WaitingCasesSerializer):
    """All waiting cases, and those of each queue; a case may be in several."""

    queues = QueueSerializer(many=True)
