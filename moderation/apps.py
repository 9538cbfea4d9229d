from django.apps import AppConfig


class ModerationConfig(AppConfig):
    name = "moderation"
    verbose_name = "Moderation"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        import moderation.tasks  # noqa: F401 (registers the tasks, so that eager mode finds them by name)
        from inference.jobs.kinds import JOB_KINDS
        from moderation.deciding.trials import GATE, decision_gates
        from moderation.doors.jobs import MODERATION, ModerationJobs
        from moderation.policies.sentences import POLICY_SENTENCES
        from moderation.rights import MODERATION_GRANTS
        from registry.access.policies import GRANTS
        from registry.record.events import EVENT_KINDS
        from registry.record.sentences import SENTENCES
        from registry.traffic.gates import GATES

        GATES.add(GATE, decision_gates)
        JOB_KINDS.add(MODERATION, ModerationJobs())
        GRANTS.add("moderation", MODERATION_GRANTS, order=200)
        for action, sentence in POLICY_SENTENCES.items():
            SENTENCES.add(action, sentence)
        EVENT_KINDS.add("policy_requested", "A revision of a policy waits for another person's approval.")
        EVENT_KINDS.add("policy_published", "A revision of a policy was published and decides from now on.")
        _add_category_mappings()


def _add_category_mappings() -> None:
    from moderation.deciding.process import FOLLOWED
    from moderation.doors.categories import table
    from moderation.doors.categories.sentences import CATEGORY_SENTENCES
    from registry.kit.admin.navigation import ListLink, add_links
    from registry.record.sentences import SENTENCES

    FOLLOWED.add("category mappings", table.refresh)
    for action, sentence in CATEGORY_SENTENCES.items():
        SENTENCES.add(action, sentence)
    add_links(
        ListLink("moderation.categorymapping", "Category mappings", "swap_horiz", "Moderation"), order=290
    )
