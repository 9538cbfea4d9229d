"""Small tokenizers of the four common kinds, trained on a few sentences; the same ones in every run."""

from functools import cache

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

SENTENCES = [
    "Ann Lee met Bob Müller in Paris on Tuesday.",
    "Die Grüße aus Köln kamen am 3. März 2021 um 14:05 Uhr an.",
    "Le café coûte 3,50 €, s'il vous plaît !",
    "安娜在北京见到了李雷。東京都に行きました。",
    "안녕하세요, 서울에서 만나요.",
    "Привет из Москвы! Γειά σου Κόσμε.",
    "สวัสดีครับ กรุงเทพมหานคร",
    "مرحبا بالعالم مُحَمَّد",
    "नमस्ते दिल्ली",
    "👩‍👩‍👧 🇩🇪 e\u0301 ﬁne\u00a0print\r\nnext line",
]
SPECIAL = ["[UNK]", "[CLS]", "[SEP]", "[PAD]"]
KINDS = ("word_piece", "word_piece_uncased", "byte_level", "unigram_nfkc")


@cache
def a_tokenizer(kind: str) -> str:
    """The text of its tokenizer.json."""
    if kind == "byte_level":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=600, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        )  # fmt: skip
    elif kind == "unigram_nfkc":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=400, special_tokens=SPECIAL, unk_token="[UNK]", show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=kind == "word_piece_uncased")
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=500, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return tokenizer.to_str()
