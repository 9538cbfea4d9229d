"""What the records of mappings say."""

from registry.record.sentences import RecordedChange, Sentence, listed


def _set(change: RecordedChange) -> str:
    added, removed = change.after["mappings"], change.before["mappings"]
    parts = []
    if added:
        parts.append(f"mapped for {change.label}: {listed(added)}")
    if removed:
        parts.append(f"removed for {change.label}: {listed(removed)}")
    return "; ".join(parts)


CATEGORY_SENTENCES = {"set_category_mappings": Sentence(_set)}
