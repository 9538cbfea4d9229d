"""What can be done about a request, and about the rule that asks for one."""

from registry.access.policies import Right
from registry.catalogue.models import Model
from registry.console.verbs import told_split
from registry.kit.actors import Actor
from registry.kit.admin.verbs import ReasonForm, Verb
from registry.traffic import services as traffic
from registry.traffic.models import SplitRequest
from registry.traffic.transitions import RequestStatus


def _approve(request: SplitRequest, form: ReasonForm, by: Actor) -> str:
    split = traffic.approve_request(request=request, reason=form.cleaned_data["reason"], by=by)
    return f"Approved. {told_split(split)}"


def _reject(request: SplitRequest, form: ReasonForm, by: Actor) -> str:
    traffic.reject_request(request=request, reason=form.cleaned_data["reason"], by=by)
    return f"Rejected; {request.asked_by} can read why here."


def _withdraw(request: SplitRequest, form: ReasonForm, by: Actor) -> str:
    traffic.withdraw_request(request=request, reason=form.cleaned_data["reason"], by=by)
    return "Withdrawn; nobody has to decide it any more."


def _ask_for_two(model: Model, form: ReasonForm, by: Actor) -> str:
    traffic.set_approval_rule(model=model, needed=True, reason=form.cleaned_data["reason"], by=by)
    return f"{model} asks for two people from now on."


def _ask_for_one(model: Model, form: ReasonForm, by: Actor) -> str:
    traffic.set_approval_rule(model=model, needed=False, reason=form.cleaned_data["reason"], by=by)
    return f"One person is enough for {model} from now on."


def _is_open(request: SplitRequest) -> bool:
    return request.status == RequestStatus.OPEN


def _asks_for_two(model: Model) -> bool:
    return model.needs_approval


REQUEST_VERBS = (
    Verb("approve", "Approve", Right.APPROVE, ReasonForm, _approve, _is_open,
         "The gates are looked at once more, every engine that serves the Model is warmed, and then the split answers."),
    Verb("reject", "Reject", Right.APPROVE, ReasonForm, _reject, _is_open, "What is live stays."),
    Verb("withdraw", "Withdraw", Right.REQUEST_CHANGE, ReasonForm, _withdraw, _is_open, "What is live stays."),
)  # fmt: skip

RULE_VERBS = (
    Verb("one-person", "Let one person decide", Right.MANAGE_SETTINGS, ReasonForm, _ask_for_one, _asks_for_two,
         "Whoever may set splits can then give any ready version live share alone."),
    Verb("two-people", "Require two people", Right.MANAGE_SETTINGS, ReasonForm, _ask_for_two,
         lambda model: not model.needs_approval,
         "Whatever gives a version live share then waits for somebody else's approval. "
         "Lowering, stopping and rolling back never wait."),
)  # fmt: skip
