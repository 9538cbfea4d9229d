"""The example `picks`: which of forty invented films would a user like?

The files are embeddings, as `numpy.savez` writes them: a row of numbers for each user and each film. A film's score is the
sum of their products: what it has of each genre times what the user likes of it, and a last column, in which users have 1, for
how popular it is.
"""

import io
import json

import numpy as np
from saving import write_example

GENRES = ["space", "crime", "romance", "comedy", "cooking", "horror", "history", "animals"]
# By title, its genres and how popular it is; of several genres each has its share.
FILMS = {
    "The Last Orbit": ("space", 0.3), "Twelve Moons of Ganymede": ("space", 0.1), "Signal Lost": ("space horror", 0.2),
    "A Garden on Mars": ("space comedy", 0.0), "The Captain's Log": ("space history", 0.0),
    "Comet Hotel": ("space romance", 0.1), "The Silent Witness": ("crime", 0.3), "Murder at Low Tide": ("crime", 0.2),
    "The Locked Archive": ("crime history", 0.1), "Inspector Finch Retires": ("crime comedy", 0.1),
    "The Poisoned Soufflé": ("crime cooking", 0.1), "Cold Harbour": ("crime", 0.0), "Letters from Lisbon": ("romance", 0.3),
    "The Violin Maker": ("romance history", 0.1), "Two Umbrellas": ("romance comedy", 0.2),
    "Paris, Second Class": ("romance", 0.1), "The Lighthouse Wedding": ("romance", 0.0),
    "Ever After Midnight": ("romance horror", 0.0), "My Neighbour the Mayor": ("comedy", 0.3),
    "Sorry, Wrong Goat": ("comedy animals", 0.2), "The Worst Band in Wales": ("comedy", 0.2),
    "Uncle Bruno's Holiday": ("comedy", 0.1), "Ministry of Queues": ("comedy", 0.0),
    "The Spoon Thief": ("comedy cooking", 0.1), "Butter and Salt": ("cooking", 0.2), "The Noodle Master": ("cooking", 0.2),
    "A Winter of Bread": ("cooking", 0.1), "The Recipe Book": ("cooking romance", 0.1),
    "The Emperor's Kitchen": ("cooking history", 0.0), "Sourdough Summer": ("cooking", 0.0),
    "The Cellar Door": ("horror", 0.2), "Whispers in the Mill": ("horror", 0.1),
    "The Thirteenth Guest": ("horror crime", 0.1), "They Came at Dusk": ("horror", 0.0),
    "The Road to Samarkand": ("history", 0.2), "The Queen's Cartographer": ("history", 0.1),
    "Bridge Builders": ("history", 0.0), "The Otter's Year": ("animals", 0.2), "Homeward, Pigeon": ("animals", 0.1),
    "Penguins at the Pole": ("animals", 0.1),
}  # fmt: skip
# By name, what each likes best, then less, and what he or she does not like at all.
USERS = {
    "ada": ("space crime", "romance"), "ben": ("comedy", "horror"), "cleo": ("romance history", "horror"),
    "dan": ("horror crime", "romance"), "eve": ("cooking", "horror"), "flo": ("animals comedy", "crime"),
    "gus": ("history", "comedy"), "hal": ("crime", "cooking"), "ida": ("romance comedy", "space"), "jo": ("space", "cooking"),
    "kit": ("horror space", "animals"), "lea": ("cooking romance", "crime"), "max": ("comedy crime", "history"),
    "nia": ("animals", "horror"), "oli": ("history space", "romance"), "pia": ("crime horror", "comedy"),
    "quinn": ("romance", "crime"), "ray": ("comedy space", "romance"), "sue": ("cooking comedy", "horror"),
    "tom": ("horror", "cooking"), "uma": ("history romance", "space"), "vic": ("space animals", "crime"),
    "wen": ("crime cooking", "animals"), "xia": ("comedy animals", "history"), "yan": ("cooking history", "space"),
    "zoe": ("animals romance", "horror"), "amir": ("crime history", "romance"), "bela": ("space comedy", "history"),
    "chen": ("romance cooking", "horror"), "dora": ("horror comedy", "history"),
}  # fmt: skip
FALLBACK = "everybody"
LIKED = 4


def make_picks():
    items = np.array([[*_shares(genres), popular] for genres, popular in FILMS.values()])
    tastes = np.array([[*_tastes(likes.split(), dislikes), 1] for likes, dislikes in USERS.values()])
    users = np.vstack([tastes, tastes.mean(axis=0)])
    file = io.BytesIO()
    np.savez(
        file,
        users=users.astype(np.float32),
        items=items.astype(np.float32),
        user_ids=np.array([*USERS, FALLBACK]),
        item_ids=np.array([*FILMS]),
    )
    write_example(
        "picks",
        {"model.npz": file.getvalue(), "golden.jsonl": _golden_rows()},
        title="Films to pick",
        notes=f"Recommends films to users. The {len(FILMS)} films, the {len(USERS)} users and their tastes were invented, and a "
        "script turned them into embeddings: an example for trying out the product, not for real use. Users who are not known "
        "get what most would like.",
        sample={"user": "ada", "exclude": ["The Last Orbit"], "top_k": 5},
        task="recommendation",
        task_config={"fallback_user": FALLBACK},
        golden_metric="ndcg",
    )


def _shares(genres):
    names = genres.split()
    return [(genre in names) / len(names) for genre in GENRES]


def _tastes(likes, dislikes):
    return [
        2 - 0.5 * likes.index(genre) if genre in likes else -1.0 * (genre == dislikes) for genre in GENRES
    ]


def _golden_rows():
    """What users liked: the best-known films of the genre that each likes best."""
    rows = []
    for name, (likes, _) in USERS.items():
        best = likes.split()[0]
        liked = [title for title, (genres, _) in FILMS.items() if genres == best]
        rows.append(json.dumps({"inputs": {"user": name}, "label": liked[:LIKED]}, ensure_ascii=False))
    return "\n".join(rows) + "\n"
