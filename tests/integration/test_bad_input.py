"""What users get wrong: one clear sentence each, exit code 2, no traceback, nothing written.

A worker is what `optimizer run` starts; most cases are put to it, in this process.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import save_file
from torch import zeros

from optimizer.cli.main import main
from optimizer.demo.layout import lay_out


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    problems: list[str]
    text: str


Command = Callable[..., Ended]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["optimizer", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        problems = [line for line in captured.err.splitlines() if line.startswith("error: ")]
        return Ended(int(ended.value.code or 0), problems, captured.out + captured.err)

    return run


@pytest.fixture
def project(tmp_path: Path) -> Path:
    list(lay_out(tmp_path))
    return tmp_path


def edit(path: Path, old: str, new: str) -> Path:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


def study(project: Path) -> Path:
    return project / "studies" / "demo_sd15.toml"


def images(project: Path) -> Path:
    return project / "data" / "demo" / "images"


def refused(ended: Ended, *fragments: str) -> None:
    assert ended.code == 2
    assert "Traceback" not in ended.text
    for fragment in fragments:
        assert any(fragment in problem for problem in ended.problems), ended.text


def test_misspelt_key(command: Command, project: Path) -> None:
    edit(study(project), "lr_warmup_ratio", "lr_warmup_rato")
    refused(
        command("worker", study(project)),
        "demo_sd15.toml: training.lr_warmup_rato is not a known key; did you mean lr_warmup_ratio?",
    )
    assert not (project / "runs").exists()


def test_all_errors_of_a_file_together(command: Command, project: Path) -> None:
    edit(study(project), "n_trials = 10", 'n_trials = "ten"')
    edit(study(project), "guidance_scale = 4.0", "guidance_scale = -1.0")
    edit(study(project), "lr_warmup_ratio = 0.1", "learning_rate = 0")
    ended = command("worker", study(project))
    refused(ended, 'study.n_trials must be an integer, found "ten"')
    refused(ended, "scoring.guidance_scale must be at least 0", "training.learning_rate must be")
    assert len(ended.problems) == 3


def test_run_passes_on_what_its_worker_refuses(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for picture in images(project).glob("*.png"):
        picture.unlink()
    monkeypatch.setattr(sys, "argv", ["optimizer", "run", str(study(project))])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capfd.readouterr()
    assert ended.value.code == 2
    assert "images: holds no pictures" in told.err
    assert told.err.count("error: ") == 1
    assert "Traceback" not in told.err
    assert not told.out
    assert not (project / "runs").exists()


def test_missing_study_file(command: Command, project: Path) -> None:
    refused(command("worker", project / "none.toml"), "none.toml: no such file")


def test_missing_search_space(command: Command, project: Path) -> None:
    edit(study(project), "demo_sd15.toml", "nowhere.toml")
    refused(command("worker", study(project)), "nowhere.toml: no such file")


def test_picture_without_caption_and_empty_caption_and_broken_picture(
    command: Command, project: Path
) -> None:
    (images(project) / "03.txt").unlink()
    (images(project) / "04.txt").write_text("\n")
    (images(project) / "05.png").write_bytes(b"not a picture")
    ended = command("worker", study(project))
    refused(ended, "03.png", "04.txt", "05.png")
    assert len(ended.problems) == 3
    assert not (project / "runs").exists()


def test_every_kind_of_bad_picture_is_named_before_training(
    command: Command, project: Path
) -> None:
    folder = images(project)
    (folder / "00.txt").write_bytes("größer".encode("latin-1"))
    (folder / "01.png").write_bytes(b"")
    whole = (folder / "02.png").read_bytes()
    (folder / "02.png").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (20_000, 10)).save(folder / "03.png")
    (folder / "04.png").unlink()
    (folder / "04.png").symlink_to(folder / "04.png")
    (folder / "05.jpg").write_bytes((folder / "05.png").read_bytes())
    ended = command("worker", study(project))
    refused(ended, "00.txt", "01.png", "02.png", "03.png", "04.png", "05.jpg and ")
    assert not (project / "runs").exists()


def test_cache_that_cannot_be_written(
    command: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = project / "cache"
    blocked.write_text("a file, no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    ended = command("worker", study(project))
    refused(ended, "cannot be written")
    assert str(blocked) in ended.problems[0]


def test_block_of_the_unet_that_is_none(command: Command, project: Path) -> None:
    edit(study(project), "[training]\n", "[training]\nblock_dims = { up_blocks = 4 }\n")
    refused(command("worker", study(project)), "training.block_dims.up_blocks must be a block of")


def test_block_that_this_unet_has_not(command: Command, project: Path) -> None:
    edit(study(project), "[training]\n", '[training]\nblock_dims = { "up_blocks.9" = 4 }\n')
    ended = command("worker", study(project))
    refused(ended, "this UNet has no trained layers in up_blocks.9; it has some in down_blocks")
    assert not list((project / "runs").rglob("trial_*"))


def test_settings_of_sd_scripts_are_sent_where_they_belong(command: Command, project: Path) -> None:
    lines = "[training]\nnetwork_train_unet_only = true\nmax_train_steps = 1000\n"
    edit(study(project), "[training]\n", lines)
    ended = command("worker", study(project))
    refused(ended, "text_encoder_lr = 0 trains the UNet alone", "give max_train_epochs")


def test_empty_dataset(command: Command, project: Path) -> None:
    for path in images(project).iterdir():
        path.unlink()
    refused(command("worker", study(project)), "images: holds no pictures")


def test_model_folder_that_is_none(command: Command, project: Path) -> None:
    (project / "data" / "demo" / "models" / "sd15" / "model_index.json").unlink()
    refused(command("worker", study(project)), "models/sd15 is not a diffusers model folder")
    assert not (project / "runs").exists()


def test_model_of_the_other_family(command: Command, project: Path) -> None:
    edit(study(project), "models/sd15", "models/sdxl")
    refused(command("worker", study(project)), "holds a model of family sdxl, but the study says")


def test_judge_that_is_none(command: Command, project: Path) -> None:
    edit(study(project), "models/judge", "models/sd15/vae")
    refused(command("worker", study(project)), "models/sd15/vae")


def test_storage_that_cannot_be_opened(
    command: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_URL", "postgresql://me:hunter2@127.0.0.1:1/none")
    edit(study(project), "n_trials = 10", 'n_trials = 10\nstorage = "env:STUDY_URL"')
    ended = command("worker", study(project))
    refused(ended, "cannot be opened")
    assert "hunter2" not in ended.text


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("{not json", "is not valid JSON"),
        ('{"colour": "blue"}', "none of its keys is a hyperparameter (found: colour)"),
        ("[1, 2]", "expected a JSON object"),
        ('{"learning_rate": "fast"}', 'learning_rate must be a number, found "fast"'),
    ],
)
def test_best_params_that_cannot_be_used(
    text: str, fragment: str, command: Command, tmp_path: Path
) -> None:
    path = tmp_path / "best_params.json"
    path.write_text(text)
    refused(command("transfer", path, "--to", "sdxl"), fragment, "best_params.json")
    assert not (tmp_path / "transfer.json").exists()


def test_init_params_that_is_missing(command: Command, project: Path) -> None:
    ended = command("worker", study(project), "--init-params", project / "none.json")
    refused(ended, "none.json: no such file")


def test_sd15_lora_given_to_sdxl(command: Command, project: Path) -> None:
    lora = project / "old.safetensors"
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    tensors = {f"{name}.lora_down.weight": zeros(4, 48), f"{name}.lora_up.weight": zeros(48, 4)}
    save_file(tensors | {f"{name}.alpha": zeros(())}, lora)
    other = project / "studies" / "demo_sdxl.toml"
    refused(command("evaluate", lora, "--study", other), "is a LoRA for sd15, but")


def test_file_that_is_no_lora(command: Command, project: Path) -> None:
    path = project / "model.safetensors"
    save_file({"weight": zeros(2)}, path)
    refused(command("evaluate", path, "--study", study(project)), "is not a LoRA file")


def test_lora_outside_of_any_study(command: Command, tmp_path: Path) -> None:
    name = "lora_te_text_model_encoder_layers_0_mlp_fc1"
    save_file({f"{name}.lora_down.weight": zeros(4, 8)}, tmp_path / "lost.safetensors")
    refused(command("evaluate", tmp_path / "lost.safetensors"), "say with --study")


@pytest.mark.parametrize("verb", ["status", "best", "dashboard"])
def test_looking_at_a_study_that_has_not_begun(verb: str, command: Command, project: Path) -> None:
    refused(command(verb, study(project)), "start it with `optimizer run")


def test_unknown_option_and_verb(command: Command, project: Path) -> None:
    assert command("worker", study(project), "--n-trails", 3).code == 2
    assert command("search").code == 2
