from django.apps import AppConfig


class ModerationConfig(AppConfig):
    name = "moderation"
    verbose_name = "Moderation"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        import moderation.tasks  # noqa: F401 (registers the tasks, so that eager mode finds them by name)
        from inference.jobs.kinds import JOB_KINDS
        from moderation.deciding.dispatch import MODERATION
        from moderation.deciding.trials import GATE, decision_gates
        from moderation.doors.jobs import ModerationJobs
        from moderation.policies.sentences import POLICY_SENTENCES
        from moderation.rights import MODERATION_GRANTS
        from registry.access.policies import GRANTS
        from registry.access.roles import sync_roles
        from registry.record.events import EVENT_KINDS
        from registry.record.sentences import SENTENCES
        from registry.traffic.gates import GATES

        GATES.add(GATE, decision_gates)
        JOB_KINDS.add(MODERATION, ModerationJobs())
        GRANTS.add("moderation", MODERATION_GRANTS, order=200)
        post_migrate.connect(sync_roles, sender=self)  # runs after our pages' permissions exist
        for action, sentence in POLICY_SENTENCES.items():
            SENTENCES.add(action, sentence)
        EVENT_KINDS.add("policy_requested", "A revision of a policy waits for another person's approval.")
        EVENT_KINDS.add("policy_published", "A revision of a policy was published and decides from now on.")
        _add_review()
        _add_privacy()
        _add_review_page()
        _add_quality()
        _add_links()
        _add_policy_tabs()
        _add_search()
        _add_attention()
        _add_first_steps()
        _add_category_mappings()
        _add_review_pages()


def _add_review() -> None:
    from moderation.appeals.services import answer_appeals
    from moderation.reports.services import answer_reports, statement_source
    from moderation.review.finals import ON_FINAL, STATEMENT_SOURCES
    from moderation.review.sentences import REVIEW_SENTENCES
    from moderation.rights import ModerationRight
    from registry.record.events import EVENT_KINDS, EVENT_RIGHTS
    from registry.record.sentences import SENTENCES

    ON_FINAL.add("appeals", answer_appeals)
    ON_FINAL.add("reports", answer_reports)
    STATEMENT_SOURCES.add("reports", statement_source)
    EVENT_KINDS.add("decision.final", "What stands about a content from now on, in order for each content.")
    EVENT_KINDS.add("appeal.answered", "A person answered an author's appeal.")
    EVENT_KINDS.add("report.answered", "A person answered a report.")
    EVENT_KINDS.add("account.action", "A person took an account action that an author's strikes add up to.")
    for kind in ("decision.final", "appeal.answered", "report.answered", "account.action"):
        EVENT_RIGHTS.add(kind, ModerationRight.SEE_RESTRICTED)
    for action, sentence in REVIEW_SENTENCES.items():
        SENTENCES.add(action, sentence)


def _add_privacy() -> None:
    from moderation.privacy.sentences import PRIVACY_SENTENCES
    from registry.kit.admin.navigation import ListLink, add_links
    from registry.record.sentences import SENTENCES

    for action, sentence in PRIVACY_SENTENCES.items():
        SENTENCES.add(action, sentence)
    add_links(ListLink("moderation.erasure", "Erasures", "delete_forever", "Moderation"), order=280)


def _add_review_page() -> None:
    from moderation.console.queue_list import waiting_badge
    from moderation.rights import ModerationRight
    from registry.kit.admin.navigation import NAVIGATION, OwnPageLink

    link = OwnPageLink("review", "Review", "rate_review", ModerationRight.REVIEW, "Moderation", waiting_badge)
    NAVIGATION.add("review", link, order=195)


def _add_quality() -> None:
    from moderation.deciding.previews import CAPACITY
    from moderation.quality.capacity import measured_capacity
    from moderation.quality.sentences import QUALITY_SENTENCES
    from moderation.rights import ModerationRight
    from registry.kit.admin.navigation import NAVIGATION, OwnPageLink
    from registry.record.sentences import SENTENCES

    CAPACITY.add("measured", measured_capacity)
    link = OwnPageLink("report-card", "Report card", "insights", ModerationRight.READ_QUALITY, "Moderation")
    NAVIGATION.add("report card", link, order=280)
    for action, sentence in QUALITY_SENTENCES.items():
        SENTENCES.add(action, sentence)


def _add_links() -> None:
    from registry.kit.admin.navigation import ListLink, add_links

    add_links(
        ListLink("moderation.policy", "Policies", "policy", "Moderation", add_title="New policy"),
        ListLink("moderation.decision", "Decisions", "gavel", "Moderation"),
        order=200,
    )


def _add_policy_tabs() -> None:
    from moderation.console import policy_panels as panels
    from moderation.rights import ModerationRight
    from registry.kit.admin.panels import PANELS, Panel, PanelPage
    from registry.kit.admin.tabs import TABS, Tab

    tabs = {
        "rules": ("Rules", panels.draw_rules),
        "publish": ("Publish", panels.draw_publishing),
        "revisions": ("Revisions", panels.draw_revisions),
        "effects": ("What each rule does", panels.draw_effects),
        "settings": ("Settings", panels.draw_settings),
    }
    page, opened_by = PanelPage.POLICY, {"revisions": ("revision",)}
    for place, (name, (title, draw)) in enumerate(tabs.items()):
        TABS.add(f"policy {name}", Tab(page, name, title, opened_by.get(name, ())), order=10 * place)
        PANELS.add(f"policy {name}", Panel(page, draw, name, ModerationRight.READ_POLICIES), order=10 * place)


def _add_search() -> None:
    from moderation.console.search import find_decisions, find_policies
    from registry.kit.admin.search import SEARCH, SearchSource

    SEARCH.add("policies", SearchSource("Policies", "policy", find_policies), order=42)
    SEARCH.add("decisions", SearchSource("Decisions", "gavel", find_decisions), order=44)


def _add_attention() -> None:
    from moderation.console import attention
    from registry.kit.admin.attention import ATTENTION

    ATTENTION.add("held contents", attention.held_contents, order=45)
    ATTENTION.add("default policy", attention.missing_default_policy, order=46)
    ATTENTION.add("waiting revisions", attention.waiting_revisions, order=75)


def _add_first_steps() -> None:
    from django.urls import reverse

    from moderation.rights import ModerationRight
    from registry.console.first_steps import somebody_did
    from registry.kit.admin.first_steps import FIRST_STEPS, FirstStep

    step = FirstStep(
        "Publish a policy",
        ModerationRight.PUBLISH_POLICIES,
        lambda: somebody_did("publish_policy", "approve_policy"),
        lambda: reverse("admin:moderation_policy_changelist"),
        "docs/moderation.md",
    )
    FIRST_STEPS.add("policy", step, order=60)


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


def _add_review_pages() -> None:
    from moderation.console import review_attention as attention
    from moderation.console import review_search as finders
    from registry.kit.admin.attention import ATTENTION
    from registry.kit.admin.navigation import ListLink, add_links
    from registry.kit.admin.search import SEARCH, SearchSource

    add_links(
        ListLink("moderation.case", "Cases", "inbox", "Moderation"),
        ListLink("moderation.appeal", "Appeals", "balance", "Moderation"),
        ListLink("moderation.report", "Reports", "flag", "Moderation"),
        ListLink("moderation.accountproposal", "Account actions", "person_off", "Moderation"),
        ListLink("moderation.reviewer", "Team", "groups", "Moderation"),
        order=221,
    )
    add_links(
        ListLink(
            "moderation.guideline", "Guidelines", "menu_book", "Review setup", add_title="New guideline"
        ),
        ListLink("moderation.reviewqueue", "Queues", "low_priority", "Review setup", add_title="New queue"),
        ListLink("moderation.reviewaction", "Actions", "bolt", "Review setup", add_title="New action"),
        order=300,
    )
    SEARCH.add("cases", SearchSource("Cases", "inbox", finders.find_cases), order=45)
    SEARCH.add("appeals", SearchSource("Appeals", "balance", finders.find_appeals), order=46)
    SEARCH.add("reports", SearchSource("Reports", "flag", finders.find_reports), order=47)
    ATTENTION.add("overdue cases", attention.overdue_cases, order=47)
    ATTENTION.add("overdue appeals", attention.overdue_appeals, order=48)
    ATTENTION.add("overdue reports", attention.overdue_reports, order=49)
    ATTENTION.add("escalated cases", attention.escalated_cases, order=76)
    ATTENTION.add("account actions", attention.open_proposals, order=77)
