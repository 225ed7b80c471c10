"""What only a CUDA device can show. Skipped where there is none, and CI says so."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from optimizer.cards import cards
from optimizer.config.dataset import dataset_config_from
from optimizer.config.study import ModelConfig, StudyConfig
from optimizer.config.training import Hyperparameters
from optimizer.data.cache import TensorStore
from optimizer.data.records import scan
from optimizer.demo import layout
from optimizer.errors import CardError, TooLargeError
from optimizer.models.attention import choose_attention, xformers_problem
from optimizer.models.base import PictureSizes, PromptEmbeds
from optimizer.models.device import device_held, limit_memory, memory_held
from optimizer.models.loading import load_model
from optimizer.models.lora import applied_lora
from optimizer.models.pipeline_model import PipelineModel
from optimizer.models.shapes import shapes_of
from optimizer.training.adapters import trained_adapters
from optimizer.training.cost import network_bytes, step_cost
from optimizer.training.lean import make_lean
from optimizer.training.memory import MemoryWay
from optimizer.training.optimizers import build_optimizer
from optimizer.training.prepared import PreparedData
from optimizer.training.results import Step, TrainingResult
from optimizer.training.trainer import Trainer
from optimizer.trial.admission import Admission, admission_on

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

WEIGHTS = Path(layout.__file__).parent / "weights"


@pytest.fixture(params=["sd15", "sdxl"])
def model(request: pytest.FixtureRequest) -> PipelineModel:
    config = ModelConfig(
        family=request.param, pretrained_model_name_or_path=str(WEIGHTS / request.param)
    )
    return load_model(config, torch.device("cuda"))


def train(
    model: PipelineModel,
    folder: Path,
    way: MemoryWay | None = None,
    stop_at: int | None = None,
    **changed: object,
) -> TrainingResult:
    layout.save_drawings(folder / "images", layout.subject_drawings(8, 64, seed=1))
    subset = {"image_dir": str(folder / "images"), "caption_extension": ".txt"}
    side = model.native_resolution
    table = {"resolution": side, "batch_size": 4, "subsets": [subset]}
    dataset = dataset_config_from({"datasets": [table]}, folder / "dataset.toml")
    data = PreparedData(scan(dataset), model, TensorStore(folder / "cache"))
    values = {"learning_rate": 1e-3, "network_dim": 8, "network_alpha": 4.0}
    settings = Hyperparameters.model_validate(values | {"max_train_epochs": 3} | changed)

    def observe(step: Step) -> None:
        if step.global_step == stop_at:
            raise KeyboardInterrupt

    return Trainer(model, data).train(
        settings, folder / "out", "mivo", state_folder=folder / "state", way=way, observe=observe
    )


@pytest.mark.parametrize("precision", ["bf16", "fp16", "no"])
def test_trains_in_every_precision(model: PipelineModel, precision: str, tmp_path: Path) -> None:
    result = train(model, tmp_path, mixed_precision=precision)
    assert result.global_step == 6
    assert model.fingerprint() == model.loaded_weights


@pytest.mark.parametrize("name", ["AdamW8bit", "PagedAdamW8bit", "Lion8bit"])
def test_eight_bit_optimizers_run(model: PipelineModel, name: str, tmp_path: Path) -> None:
    assert train(model, tmp_path, optimizer_type=name).global_step == 6


def test_text_encoders_train(model: PipelineModel, tmp_path: Path) -> None:
    assert train(model, tmp_path, text_encoder_lr=1e-4).global_step == 6


def test_frozen_weights_are_held_in_half_precision(model: PipelineModel) -> None:
    assert model.dtype in (torch.bfloat16, torch.float16)
    assert next(model.pipeline.vae.parameters()).dtype is torch.float32


def test_xformers_is_used_when_it_runs_and_refused_with_a_reason_when_not() -> None:
    device = torch.device("cuda")
    if xformers_problem(device) is None:
        assert choose_attention("xformers", device) == "xformers"
    else:
        with pytest.raises(Exception, match="cannot be used on cuda"):
            choose_attention("xformers", device)


def test_looking_at_a_checkpoint_leaves_the_trained_adapter_in_float32(
    model: PipelineModel, tmp_path: Path
) -> None:
    train(model, tmp_path, text_encoder_lr=1e-4)
    with trained_adapters(model, Hyperparameters(text_encoder_lr=1e-4)) as adapters:
        with applied_lora(model, tmp_path / "out" / "mivo.safetensors"):
            pass
        assert {p.dtype for p in adapters.parameters()} == {torch.float32}
        assert {p.device.type for p in adapters.parameters()} == {"cuda"}


def test_fp16_state_keeps_its_scaler(model: PipelineModel, tmp_path: Path) -> None:
    """A run that is stopped and goes on reaches the same losses."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    plain = train(model, whole, mixed_precision="fp16")
    with pytest.raises(KeyboardInterrupt):
        train(model, broken, stop_at=3, mixed_precision="fp16")
    assert train(model, broken, mixed_precision="fp16").global_step == plain.global_step


def test_a_card_that_is_too_small_is_used_in_parts(model: PipelineModel, tmp_path: Path) -> None:
    """Half of what the whole batch takes is what torch itself allows."""
    torch.cuda.reset_peak_memory_stats()
    train(model, tmp_path / "a", gradient_checkpointing=False)
    base = torch.cuda.memory_allocated()
    needed = base + (torch.cuda.max_memory_allocated() - base) // 2
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(needed / total)
    try:
        assert train(model, tmp_path / "b", gradient_checkpointing="auto").global_step == 6
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_a_limit_makes_torch_say_that_memory_is_out() -> None:
    free, total = torch.cuda.mem_get_info()
    limit_memory(torch.device("cuda"), 1.0)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(int(1.5 * 2**30), dtype=torch.uint8, device="cuda")
        torch.empty(2**29, dtype=torch.uint8, device="cuda")
        with pytest.raises(CardError, match="is 100000 GiB"):
            limit_memory(torch.device("cuda"), 100_000.0)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert free <= total


def test_one_job_a_card_whatever_its_number() -> None:
    """The driver, asked without CUDA, and torch must mean the same card."""
    uuid = str(torch.cuda.get_device_properties(0).uuid)
    assert uuid in {card.uuid.removeprefix("GPU-") for card in cards()}
    with (
        device_held("study night"),
        pytest.raises(CardError, match="study night"),
        device_held("study day", torch.device("cuda:0")),
    ):
        pass


def test_what_a_trial_leaves_on_the_card_is_seen() -> None:
    before = memory_held(torch.device("cuda"))
    left = torch.empty(2**28, dtype=torch.uint8, device="cuda")
    assert memory_held(torch.device("cuda")) - before >= 2**28
    del left
    assert memory_held(torch.device("cuda")) == before


@pytest.mark.parametrize("checkpointing", [True, False])
@pytest.mark.parametrize(("family", "side"), [("sd15", 512), ("sdxl", 1024)])
def test_predicted_memory_of_a_full_size_step_is_the_measured_one(
    family: str, side: int, checkpointing: bool
) -> None:
    """Random weights of the public architecture: memory does not depend on the values."""
    chosen = Hyperparameters(network_dim=64, gradient_checkpointing=checkpointing)
    name = ModelConfig.model_validate(
        {"family": family, "pretrained_model_name_or_path": "of/the-public-architecture"}
    )
    predicted = step_cost(shapes_of(name), chosen, 1, (side, side))
    model = shapes_of(name)
    for module in model.modules.values():
        module.to_empty(device="cuda")
    unet = model.pipeline.unet
    with trained_adapters(model, chosen) as adapters:
        make_lean(adapters)
        torch_optimizer = build_optimizer(chosen, adapters, torch.device("cuda"))
        latents = torch.zeros(1, 4, side // 8, side // 8, device="cuda", dtype=torch.bfloat16)
        width = int(unet.config.cross_attention_dim)
        states = torch.zeros(1, 77, width, device="cuda", dtype=torch.bfloat16)
        pooled = torch.zeros(1, 1280, device="cuda", dtype=torch.bfloat16)
        embeds = PromptEmbeds(states, pooled if family == "sdxl" else None)
        sizes = [PictureSizes((side, side), (0, 0), (side, side))]
        for _ in range(2):
            with torch.autocast("cuda", torch.bfloat16):
                steps = torch.zeros(1, dtype=torch.long, device="cuda")
                answer = unet(latents, steps, **model.unet_conditions(embeds, sizes)).sample
            (answer.float() ** 2).mean().backward()
            torch_optimizer.step()
            torch_optimizer.zero_grad(set_to_none=False)
        measured = torch.cuda.max_memory_allocated()
    print(f"{family} {checkpointing}: predicted {predicted.peak}, measured {measured}")
    assert predicted.peak == pytest.approx(measured, rel=0.1)


@pytest.fixture
def admission(
    model: PipelineModel, make_study: Callable[..., StudyConfig], tmp_path: Path
) -> Admission:
    layout.save_drawings(tmp_path / "images", layout.subject_drawings(2, 64, seed=1))
    captions = '[dataset.general]\ncaption_extension = ".txt"'
    config = make_study(family=model.family, dataset=captions)
    path = str(WEIGHTS / model.family)
    named = config.model.model_copy(update={"pretrained_model_name_or_path": path})
    config = config.model_copy(update={"model": named})
    found = admission_on(model.device, config, scan(config.dataset))
    assert found is not None
    return found


def test_what_cannot_fit_the_card_is_refused_before_it_is_trained(admission: Admission) -> None:
    assert admission.way(Hyperparameters(network_dim=4)) == MemoryWay(False, at_once=1)
    admission.limit = admission.held // 2
    with pytest.raises(TooLargeError):
        admission.way(Hyperparameters(network_dim=4))


def test_resting_networks_leave_the_card_and_come_back(model: PipelineModel) -> None:
    whole = memory_held(model.device)
    names = ("vae", *model.encoder_names)
    size = sum(network_bytes(model.modules[name]) for name in names)
    with model.resting(names):
        assert whole - memory_held(model.device) == pytest.approx(size, rel=0.05)
    assert memory_held(model.device) == pytest.approx(whole, rel=0.01)
    assert model.fingerprint() == model.loaded_weights


def test_every_way_trains_on_the_card(model: PipelineModel, tmp_path: Path) -> None:
    """With networks at rest, accumulated batches together, and the step that confirms it."""
    way = MemoryWay(True, at_once=8, resting=("vae", *model.encoder_names))
    result = train(model, tmp_path, way, gradient_accumulation_steps=2)
    assert (result.global_step, result.memory) == (3, way)
    assert {p.device.type for m in model.modules.values() for p in m.parameters()} == {"cuda"}
