"""A Hugging Face cache with the one file set that optimum-habana's tests want from the hub and that can be made.

Their Stable Diffusion tests build the model in code and fetch a tokenizer, whose words do not matter except to
one test that compares pixels.
"""

from __future__ import annotations

import json
from pathlib import Path

_REPOSITORY = "models--hf-internal-testing--tiny-random-clip"
_REVISION = "0" * 40
_PIECES = "l o w e r s t i d n lo l</w> w</w> r</w> t</w> low</w> er</w> <unk> <|startoftext|> <|endoftext|>"


def make(home: Path) -> Path:
    """Fill `home`, a folder to be named by ``HF_HOME``, and return it."""
    repository = home / "hub" / _REPOSITORY
    snapshot = repository / "snapshots" / _REVISION
    snapshot.mkdir(parents=True, exist_ok=True)
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / "main").write_text(_REVISION)
    write_tokenizer(snapshot)
    return home


def write_tokenizer(folder: Path) -> None:
    """Write a CLIP tokenizer that knows a few pieces of words."""
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(_PIECES.split())}))
    (folder / "merges.txt").write_text("#version: 0.2\nl o\nlo w</w>\ne r</w>\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "unk_token": "<unk>", "model_max_length": 77})
    )
