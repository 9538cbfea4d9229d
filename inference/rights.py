"""Who may predict, and who manages jobs: inference's part of roles, key scopes and admin pages."""

from registry.access.policies import Grants, Right, Role

# People try a version before they decide on it, so anyone who may predict may use any version.
_PREDICT_ANY = frozenset({Right.PREDICT, Right.PREDICT_UNAPPROVED})

INFERENCE_GRANTS = Grants(
    rights=_PREDICT_ANY | {Right.MANAGE_JOBS},
    roles={
        Role.OPERATOR: _PREDICT_ANY | {Right.MANAGE_JOBS},
        Role.APPROVER: _PREDICT_ANY,
        Role.ADMIN: _PREDICT_ANY,
    },
    scopes={
        "predict": frozenset({Right.PREDICT}),
        "predict.unapproved": _PREDICT_ANY,
        "registry.write": frozenset({Right.MANAGE_JOBS}),
    },
    scope_labels={"predict": "predict", "predict.unapproved": "predict, including with unapproved versions"},
    pages={
        "inference.view_job": Right.READ,
        "inference.view_enginereport": Right.READ,
        "inference.view_store": Right.MANAGE_SETTINGS,
        "inference.add_store": Right.MANAGE_SETTINGS,
        "inference.change_store": Right.MANAGE_SETTINGS,
        "inference.delete_store": Right.MANAGE_SETTINGS,
        "inference.view_refusedorder": Right.READ_RECORD,
    },
)
