"""A CLIP tokenizer of some 400 entries, made from the world's own captions."""

import json
import string
from pathlib import Path
from random import Random

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from optimizer.demo.world import base_drawing, judge_drawing

VOCABULARY = 400
MAX_LENGTH = 32
_CAPTIONS = 3000
_LETTERS = string.ascii_lowercase + string.digits + ",.'-"
_START, _END = "<|startoftext|>", "<|endoftext|>"


def write_tokenizer(folder: Path) -> CLIPTokenizer:
    """Build the tokenizer and save it as any CLIP's, `model_max_length` 32."""
    merges = _merges()
    single = list(_LETTERS) + [f"{letter}</w>" for letter in _LETTERS]
    entries = dict.fromkeys([*single, *(merge.replace(" ", "") for merge in merges), _START, _END])
    vocabulary = {entry: number for number, entry in enumerate(entries)}
    folder.mkdir(parents=True, exist_ok=True)
    vocab_file, merges_file = folder / "vocab.json", folder / "merges.txt"
    vocab_file.write_text(json.dumps(vocabulary))
    merges_file.write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    tokenizer = CLIPTokenizer(
        vocab=vocabulary, merges=[tuple(m.split(" ")) for m in merges], model_max_length=MAX_LENGTH
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def _merges() -> list[str]:
    rng = Random(1)
    captions = [base_drawing(rng, 8).caption for _ in range(_CAPTIONS)]
    captions += [judge_drawing(rng, 8).caption for _ in range(_CAPTIONS)]
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=_END))
    bpe.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        end_of_word_suffix="</w>",
        initial_alphabet=list(_LETTERS),
        special_tokens=[],
        show_progress=False,
    )
    bpe.train_from_iterator(captions, trainer)
    found = json.loads(bpe.to_str())["model"]["merges"]
    return [" ".join(pair) if isinstance(pair, list) else pair for pair in found]
