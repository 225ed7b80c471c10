"""The command line itself: quick help, honest list of verbs."""

import subprocess
import sys

VERBS = (
    *("run", "finals", "pick", "rescore", "transfer", "train", "evaluate", "compare", "best"),
    *("status", "logs", "report", "dashboard", "stop", "export-kohya", "dataset", "demo"),
)


def test_help_names_every_verb() -> None:
    command = [sys.executable, "-m", "optimizer.cli.main", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert all(verb in text for verb in VERBS)


def test_help_loads_neither_torch_nor_optuna() -> None:
    code = (
        "import sys; sys.argv = ['optimizer', '--help']\n"
        "from optimizer.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'optuna', 'diffusers', 'transformers') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert text.splitlines()[-1] == "[]"
