"""Files of prompts: text, TOML, or JSON with categories."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optimizer.config.scoring import prompt_problem
from optimizer.errors import ConfigError

_HOLDERS = ("prompt", "positive", "prompts", "test_prompts")
"""Keys under which prompts lie; what lies beside them (names, negatives, tags) is no prompt."""


def read_prompts(path: Path) -> list[str]:
    """Prompts of a file, in its order, placeholders not filled in.

    Text: one a line, lines that begin with # are remarks. TOML and JSON: an array of prompts, or
    categories that hold such arrays. A prompt may be a table with the key `prompt` or `positive`.

    Raises:
        ConfigError: the file is missing, malformed or empty, or has prompts that cannot be used,
            each named with its line.
    """
    text = _text(path)
    prompts = list(_parsed(path, text))
    if not prompts:
        raise ConfigError(f"{path}: holds no prompts")
    problems = [
        f"{path}: {_place(text, prompt)} {problem}"
        for prompt in prompts
        if (problem := prompt_problem(prompt))
    ]
    if problems:
        raise ConfigError(problems)
    return prompts


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        problem = "no such file"
    except IsADirectoryError:
        problem = "is a folder, not a file of prompts"
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 text (byte {error.start}); save it as UTF-8"
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    raise ConfigError(f"{path}: {problem}")


def _parsed(path: Path, text: str) -> Iterator[str]:
    kind = path.suffix.lower()
    try:
        if kind == ".toml":
            return _found(path, tomllib.loads(text))
        if kind == ".json":
            return _found(path, json.loads(text))
    except ValueError as error:
        raise ConfigError(f"{path}: is not valid {kind[1:].upper()}: {error}") from error
    lines = (line.strip() for line in text.splitlines())
    return (line for line in lines if line and not line.startswith("#"))


def _found(path: Path, data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, list):
        for item in data:
            yield from _found(path, item)
    elif isinstance(data, dict):
        holder = next((key for key in _HOLDERS if key in data), None)
        inner = list(data.values()) if holder is None else data[holder]
        yield from _found(path, inner)
    else:
        raise ConfigError(f"{path}: holds {data!r} where a prompt in quotes should be")


def _place(text: str, prompt: str) -> str:
    """Where a prompt stands; its number of line, unless escapes hide it."""
    lines = (n for n, line in enumerate(text.splitlines(), 1) if prompt and prompt in line)
    number = next(lines, None)
    return f'prompt "{prompt}"' if number is None else f"line {number}"
