"""The main job through the commands that a user types, on the demo's models."""

import json
import sys
import threading
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from optimizer.cli.main import main
from optimizer.demo.layout import lay_out

Command = Callable[..., str]


@pytest.fixture(scope="module", autouse=True)
def cold_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing that an earlier run of anything has left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo laid out, its studies shortened."""
    folder = tmp_path_factory.mktemp("project")
    list(lay_out(folder))
    for name in ("demo_sd15", "demo_sdxl"):
        path = folder / "studies" / f"{name}.toml"
        text = path.read_text().replace("num_inference_steps = 12", "num_inference_steps = 4")
        text = text.replace("num_images_per_prompt = 2", "num_images_per_prompt = 1")
        if name == "demo_sdxl":  # which then holds pictures out itself
            text = text.replace('reference_dir = "../data/demo/references"\n', "")
        path.write_text(text)
    return folder


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["optimizer", *map(str, arguments)])
        try:
            main()
        except SystemExit as ended:
            assert not ended.code, capfd.readouterr().err
        return capfd.readouterr().out

    return run


def study(project: Path, family: str) -> Path:
    return project / "studies" / f"demo_{family}.toml"


def run_folder(project: Path, family: str) -> Path:
    return project / "runs" / f"demo_{family}"


# The tests below build on each other, as the steps of the job do.


def test_sd15_study(command: Command, project: Path) -> None:
    text = command("run", study(project, "sd15"), "--n-trials", 2)
    folder = run_folder(project, "sd15")
    assert "0 of 2 trials done" in text
    assert str(folder / "best_params.json") in text.replace("\n", "")
    for name in ("params.json", "metrics.jsonl", "scores.json", "result.json"):
        assert (folder / "trial_0000" / name).is_file()
    result = json.loads((folder / "trial_0000" / "result.json").read_text())
    assert result["outcome"] == "complete"
    assert result["versions"]["torch"]
    # Of all checkpoints the best one stays, all were scored.
    most = 0
    for trial in ("trial_0000", "trial_0001"):
        kept = [path.name for path in (folder / trial / "checkpoints").iterdir()]
        scored = json.loads((folder / trial / "scores.json").read_text())["checkpoints"]
        assert kept == [max(scored, key=lambda one: one["objective"])["file"]]
        most = max(most, len(scored))
    assert most > 1
    assert len(list((folder / "trial_0000" / "samples").glob("*/*.png"))) >= 8


def test_tensorboard_shows_each_trial(project: Path) -> None:
    events = EventAccumulator(str(run_folder(project, "sd15") / "trial_0000" / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert {"loss/current", "loss/average", "lr/unet", "norm/avg_grad_norm"} <= set(tags["scalars"])
    assert {"score/objective", "score/clip_i", "score/clip_t"} <= set(tags["scalars"])
    assert "samples/000" in tags["images"]
    lines = (run_folder(project, "sd15") / "trial_0000" / "metrics.jsonl").read_text().splitlines()
    losses = [scalar.value for scalar in events.Scalars("loss/current")]
    assert losses == pytest.approx([json.loads(line)["loss"] for line in lines], rel=1e-6)


def test_best_params_hold_settings_and_where_they_come_from(project: Path) -> None:
    best = json.loads((run_folder(project, "sd15") / "best_params.json").read_text())
    provenance = best.pop("_study")
    assert set(best) == {
        *("learning_rate", "network_dim", "network_alpha", "lr_scheduler", "max_train_epochs")
    }
    assert provenance["study"] == "demo_sd15"
    assert provenance["family"] == "sd15"


def test_recorded_is_what_was_trained(project: Path) -> None:
    folder = run_folder(project, "sd15")
    storage = f"sqlite:///{folder / 'optimizer.db'}"
    for trial in optuna.load_study(study_name="demo_sd15", storage=storage).trials:
        trained = json.loads((folder / f"trial_{trial.number:04d}" / "params.json").read_text())
        assert trained["learning_rate"] == trial.params["learning_rate"]
        share = trained["network_alpha"] / trained["network_dim"]
        assert share == pytest.approx(trial.params["network_alpha_ratio"])
        effective = trial.user_attrs["effective_params"]
        assert {name: trained[name] for name in effective} == effective


def test_typed_again_it_says_that_it_is_done(command: Command, project: Path) -> None:
    text = command("run", study(project, "sd15"), "--n-trials", 2)
    assert "2 of 2 trials done" in text
    assert not (run_folder(project, "sd15") / "trial_0002").exists()


def test_transfer_shows_a_table_and_writes_the_seeds(command: Command, project: Path) -> None:
    best = run_folder(project, "sd15") / "best_params.json"
    text = command("transfer", best, "--to", "sdxl")
    assert "searched" in text
    assert "3 trials to begin with" in text
    seeds = json.loads(best.with_name("transfer.json").read_text())["seeds"]
    rates = [seed["learning_rate"] for seed in seeds]
    assert rates == pytest.approx([rates[0], rates[0] / 3, rates[0] * 3], rel=1e-4)


def test_sdxl_study_begins_with_the_seeds(command: Command, project: Path) -> None:
    seeds_file = run_folder(project, "sd15") / "transfer.json"
    arguments = ("run", study(project, "sdxl"), "--init-params", seeds_file, "--n-trials")
    command(*arguments, 1)
    command(*arguments, 2)
    folder = run_folder(project, "sdxl")
    trials = optuna.load_study(
        study_name="demo_sdxl", storage=f"sqlite:///{folder / 'optimizer.db'}"
    ).trials
    seeds = json.loads(seeds_file.read_text())["seeds"]
    tried = [t.params["learning_rate"] for t in trials if "learning_rate" in t.params]
    wanted = [min(max(seed["learning_rate"], 1e-4), 3e-2) for seed in seeds]
    assert tried[:2] == pytest.approx(wanted[:2], rel=1e-5)
    assert sum("seed_id" in t.user_attrs for t in trials) == len(set(wanted))
    scored = json.loads((folder / "trial_0000" / "scores.json").read_text())["checkpoints"]
    assert all(len(one["validation_losses"]) == 5 for one in scored)
    assert trials[0].user_attrs["validation_loss"] in [one["validation_loss"] for one in scored]


def test_final_run_names_files_as_sd_scripts(command: Command, project: Path) -> None:
    params = run_folder(project, "sdxl") / "best_params.json"
    command("train", study(project, "sdxl"), "--params", params)
    names = sorted(p.name for p in (run_folder(project, "sdxl") / "final").glob("*.safetensors"))
    assert names == ["demo_sdxl-000003.safetensors", "demo_sdxl.safetensors"]
    assert "already trained" in command("train", study(project, "sdxl"), "--params", params)


def test_export_for_sd_scripts_names_script_and_files(command: Command, project: Path) -> None:
    params = run_folder(project, "sdxl") / "best_params.json"
    text = command("export-kohya", params, study(project, "sdxl")).replace("\n", " ")
    folder = run_folder(project, "sdxl") / "kohya"
    written = tomllib.loads((folder / "demo_sdxl.toml").read_text())
    best = json.loads(params.read_text())
    assert written["learning_rate"] == best["learning_rate"]
    assert written["network_dim"] == best["network_dim"]
    assert Path(written["dataset_config"]).is_file()
    assert f'sdxl_train_network.py --config_file "{folder / "demo_sdxl.toml"}"' in text


def test_evaluate_finds_the_study_of_a_lora(command: Command, project: Path) -> None:
    lora = run_folder(project, "sdxl") / "final" / "demo_sdxl.safetensors"
    output = project / "evaluation"
    command("evaluate", lora, "--output", output)
    scores = json.loads((output / "scores.json").read_text())
    assert scores["base model"]["objective"] == 0
    assert set(scores) == {"base model", str(lora)}
    with Image.open(output / "demo_sdxl.png") as sheet:
        assert min(sheet.size) > 100


def test_compare_draws_both_families(command: Command, project: Path) -> None:
    one = command("best", study(project, "sd15"), "--checkpoint").strip()
    other = run_folder(project, "sdxl") / "final" / "demo_sdxl.safetensors"
    output = project / "comparison"
    text = command("compare", one, other, "--num-samples", 2, "--output", output)
    assert "clip_i" in text
    found = json.loads((output / "comparison.json").read_text())
    assert {d["metric"] for d in found["differences"]} >= {"clip_t", "clip_i"}
    assert {s["counts"]["pictures"] for s in found["scores"].values()} == {2}
    assert (output / "comparison.png").is_file()


def test_status_and_best(command: Command, project: Path) -> None:
    status = json.loads(command("status", study(project, "sd15"), "--json"))
    assert (status["state"], status["trials_done"]) == ("stopped", 2)
    assert Path(status["best"]["checkpoint"]).is_file()
    assert "learning_rate" in command("best", study(project, "sd15"))
    assert "2 of 10" in command("status", study(project, "sd15"))


def test_plan_before_and_after_trials(command: Command, project: Path) -> None:
    first = json.loads(command("plan", study(project, "sdxl"), "--json", "--card-memory", 16))
    assert (first["pictures"], first["largest_bucket"]) == (12, [64, 64])
    # 12 pictures in batches of 4, for 6 epochs of which every third is saved.
    assert (first["updates_per_epoch"], first["updates_per_trial"]) == ([3, 3], [18, 18])
    assert first["checkpoints_per_trial"] == [2, 2]
    # Two checkpoints of 16 pictures or so against 72 passes of training: both matter.
    assert 0.1 < first["drawing_share"] < 0.999
    (memory,) = first["memory"]
    assert memory["limit"] == 16 * 2**30
    assert 0 < memory["cost"]["activations"] < memory["limit"]
    trained = next((run_folder(project, "sdxl") / "final").glob("*.safetensors"))
    low, high = first["lora_bytes"]
    assert low < trained.stat().st_size <= high * 1.05, "the header holds more than is planned"
    text = command("plan", study(project, "sd15"), "--card-memory", 1)
    assert "fits" in text
    assert "of a trial's operations" in text
    assert "measured" in text
    assert "trials left" in text


def test_dataset_check(command: Command, project: Path) -> None:
    text = command("dataset", "check", study(project, "sd15"))
    assert "32 x 32" in text
    report = json.loads(command("dataset", "check", study(project, "sd15"), "--json"))
    assert (report["pictures"], report["captions"]) == (16, 16)


def test_dashboard_answers_on_this_machine_only(project: Path) -> None:
    from optimizer.config.study import load_study
    from optimizer.report.dashboard import dashboard_server

    server = dashboard_server(load_study(study(project, "sd15")), port=0)
    assert server.server_address[0] == "127.0.0.1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/api/studies"
        with urllib.request.urlopen(url) as answer:
            names = [s["study_name"] for s in json.load(answer)["study_summaries"]]
    finally:
        server.shutdown()
        server.server_close()
    assert names == ["demo_sd15"]
