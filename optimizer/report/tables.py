"""Tables for the terminal."""

import os
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:  # `optimizer status` draws a table and wants nothing else
    from optimizer.config.study import StudyConfig
    from optimizer.study.results import BestTrial
    from optimizer.study.transfer import Transfer

_PIPED_WIDTH = 120
"""Columns of a log file: a terminal tells its own width."""

console = Console()
if not console.is_terminal and "COLUMNS" not in os.environ:
    console.width = _PIPED_WIDTH

_ACTION_STYLES = {"kept": "green", "rescaled": "yellow", "searched": "cyan", "dropped": "red"}


def short(value: Any) -> str:
    """A setting or score as people write it."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def key_values(title: str, values: dict[str, Any]) -> Table:
    """Two columns: name and value, where only a Text is styled: brackets are words."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")  # the end of a path is what tells it from others
    for name, value in values.items():
        table.add_row(Text(name), value if isinstance(value, Text) else Text(short(value)))
    return table


def print_transfer(transfer: "Transfer") -> None:
    """What became of each setting, and the trials to begin with."""
    title = f"{transfer.source_family} to {transfer.target_family}"
    table = Table("setting", "from", "to", "", "why", title=title, title_justify="left")
    for row in transfer.rows:
        action = f"[{_ACTION_STYLES[row.action]}]{row.action}[/]"
        table.add_row(row.name, short(row.source), short(row.target), action, row.reason)
    console.print(table)
    print_seeds(transfer)


def print_seeds(transfer: "Transfer") -> None:
    """The first trials, one a line, and where each comes from."""
    console.print(f"{len(transfer.seeds)} trials to begin with:")
    for seed, origin in zip_longest(transfer.seeds, transfer.origins[: len(transfer.seeds)]):
        text = "  ".join(f"{name} {short(value)}" for name, value in seed.items())
        console.print(f"  {origin or 'given'}: {text}", highlight=False, soft_wrap=True)


def print_best(config: "StudyConfig", best: "BestTrial") -> None:
    """The best trial, its settings and its file."""
    facts = {
        "trial": best.number,
        "objective": f"{best.value:.3f} ± {best.standard_error:.3f}",
        "best at epoch": best.epoch,
        "chosen by": best.chosen_by + (f": {best.why}" if best.chosen_by == "pick" else ""),
        **best.params,
    }
    console.print(key_values(f"best of {config.name}", facts))
    console.print(f"LoRA: {best.checkpoint}", soft_wrap=True, highlight=False)
