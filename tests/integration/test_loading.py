"""Base models from every place they may lie in: the same numbers, or a sentence."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
)
from safetensors.torch import load_file, save_file
from torch import Tensor, equal

from optimizer.config.study import ModelConfig
from optimizer.demo import architectures as tiny
from optimizer.demo.tokenizer import write_tokenizer
from optimizer.errors import ModelError
from optimizer.models import loading
from optimizer.models.base import PictureSizes
from optimizer.models.loading import check_reference, load_model
from optimizer.models.pipeline_model import PipelineModel
from tests.integration import original_format as original

CPU = torch.device("cpu")
FAMILIES = ("sd15", "sdxl")
CAPTIONS = ["a red circle on blue", ""]
HUB_ID = "someone/tiny"


@dataclass(frozen=True)
class Tiny:
    """One random model, written both ways."""

    family: str
    folder: Path
    file: Path
    extra: Path
    """A folder beside them, empty at first."""

    def config(self, reference: Path | str | None = None, **more: Any) -> ModelConfig:
        named = {"pretrained_model_name_or_path": str(reference or self.folder)}
        return ModelConfig(family=self.family, **named, **{k: str(v) for k, v in more.items()})

    def load(self, reference: Path | str | None = None, **more: Any) -> PipelineModel:
        return load_model(self.config(reference, **more), CPU)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tiny]:
    root = tmp_path_factory.mktemp("models")
    tokenizer = write_tokenizer(root / "tokenizer")
    torch.manual_seed(5)
    sd15, sdxl = original.sd15_pipeline(tokenizer), original.sdxl_pipeline(tokenizer)
    found = {}
    for family, pipeline in (("sd15", sd15), ("sdxl", sdxl)):
        folder = original.write_folder(pipeline, root / family)
        write = original.write_sd15_file if family == "sd15" else original.write_sdxl_file
        file = write(pipeline, root / f"{family}.safetensors")
        found[family] = Tiny(family, folder, file, root)
    return found


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest, written: dict[str, Tiny]) -> Tiny:
    return written[request.param]


@pytest.fixture(scope="module")
def sd15(written: dict[str, Tiny]) -> Tiny:
    return written["sd15"]


@pytest.fixture(scope="module")
def sdxl(written: dict[str, Tiny]) -> Tiny:
    return written["sdxl"]


@torch.no_grad()
def computed(model: PipelineModel) -> dict[str, Tensor]:
    """What training and drawing ask of a base model."""
    size = model.native_resolution
    random = torch.Generator().manual_seed(1)
    pixels = torch.rand(2, 3, size, size, generator=random) * 2 - 1
    latents = model.encode_pictures(pixels)
    embeds = model.encode_prompts(CAPTIONS)
    sizes = [PictureSizes((size, size), (0, 0), (size, size))] * 2
    noise = model.pipeline.unet(
        latents, torch.tensor([10, 700]), **model.unet_conditions(embeds, sizes)
    ).sample
    decoded = model.pipeline.vae.decode(latents).sample
    found = {"latents": latents, "prompts": embeds.prompt_embeds, "noise": noise, "back": decoded}
    if embeds.pooled_prompt_embeds is not None:
        found["pooled"] = embeds.pooled_prompt_embeds
    return found


def same(one: PipelineModel, other: PipelineModel) -> None:
    """Bit for bit: the same weights went the same way through the same code."""
    ours, theirs = computed(one), computed(other)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.isfinite().all()
        assert equal(tensor, theirs[name]), name
    assert one.fingerprint() == other.fingerprint()
    assert one.scaling_factor == other.scaling_factor
    schedulers = [dict(m.pipeline.scheduler.config) for m in (one, other)]
    assert schedulers[0] == schedulers[1]


def refused(config: ModelConfig, *fragments: str, early: bool = True) -> None:
    """Before anything is loaded where that is possible, and by `load_model` all the same."""
    for attempt in [check_reference] * early + [lambda c: load_model(c, CPU)]:
        with pytest.raises(ModelError) as error:
            attempt(config)
        for fragment in fragments:
            assert fragment in str(error.value)
        assert "\n" not in str(error.value)


def copied(tiny_model: Tiny, name: str, change: Callable[[dict[str, Tensor]], Any]) -> Path:
    """The single file with other tensors in it."""
    state = load_file(tiny_model.file)
    path = tiny_model.extra / f"{tiny_model.family}-{name}.safetensors"
    save_file(change(state) or state, path)
    return path


def test_original_names_are_those_of_published_files(sd15: Tiny, sdxl: Tiny) -> None:
    """Names that every SD1.5 and SDXL checkpoint has, as far as the tiny models have the layer."""
    shared = {
        "model.diffusion_model.time_embed.2.weight",
        "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
        "model.diffusion_model.input_blocks.2.0.op.weight",
        "model.diffusion_model.middle_block.1.proj_in.weight",
        "model.diffusion_model.output_blocks.1.2.conv.weight",
        "model.diffusion_model.output_blocks.3.0.skip_connection.weight",
        "model.diffusion_model.out.2.bias",
        "first_stage_model.encoder.down.0.downsample.conv.weight",
        "first_stage_model.encoder.mid.attn_1.proj_out.weight",
        "first_stage_model.decoder.up.1.block.0.nin_shortcut.weight",
        "first_stage_model.decoder.up.2.upsample.conv.weight",
        "first_stage_model.decoder.norm_out.weight",
        "first_stage_model.post_quant_conv.weight",
    }
    clip = "text_model.encoder.layers.0.self_attn.q_proj.weight"
    second = "conditioner.embedders.1.model"
    only = {
        "sd15": {f"cond_stage_model.transformer.{clip}"},
        "sdxl": {
            "model.diffusion_model.label_emb.0.2.weight",
            f"conditioner.embedders.0.transformer.{clip}",
            f"{second}.transformer.resblocks.1.attn.in_proj_weight",
            f"{second}.transformer.resblocks.0.mlp.c_proj.bias",
            f"{second}.text_projection",
            f"{second}.positional_embedding",
        },
    }
    for one in (sd15, sdxl):
        assert shared | only[one.family] <= load_file(one.file).keys()


def test_single_file_computes_what_its_folder_computes(model: Tiny) -> None:
    same(model.load(), model.load(model.file, config=model.folder))


def test_single_file_keeps_none_of_the_config_folders_weights(model: Tiny) -> None:
    """With `config` a folder of configs alone, as one made for single files may be."""
    bare = model.extra / f"{model.family}-bare"
    shutil.copytree(model.folder, bare, ignore=shutil.ignore_patterns("*.safetensors"))
    same(model.load(), model.load(model.file, config=bare))


def test_single_file_in_half_precision_is_read_as_float32(model: Tiny) -> None:
    half = copied(model, "half", lambda s: {k: v.half() for k, v in s.items()})
    loaded = model.load(half, config=model.folder)
    assert loaded.dtype == torch.float32
    for name, tensor in computed(model.load()).items():
        # Weights of 11 bits instead of 24, through some dozen layers.
        torch.testing.assert_close(computed(loaded)[name], tensor, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_vae_is_never_rounded_to_the_frozen_precision(
    kind: str, model: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "frozen_dtype", lambda device: torch.bfloat16)
    more = {"config": model.folder} if kind == "file" else {}
    loaded = model.load(getattr(model, kind), **more)
    dtypes = {name: {p.dtype for p in m.parameters()} for name, m in loaded.modules.items()}
    assert dtypes.pop("vae") == {torch.float32}
    assert set.union(*dtypes.values()) == {torch.bfloat16}
    exact = load_file(model.folder / "vae" / "diffusion_pytorch_model.safetensors")
    assert all(equal(v, exact[k]) for k, v in loaded.modules["vae"].state_dict().items())


IN_A_PROCESS = """
import sys, torch
torch.set_num_threads(1)
from optimizer.config.study import ModelConfig
from optimizer.errors import ModelError
from optimizer.models.loading import check_reference, load_model
for text in sys.argv[1:]:
    config = ModelConfig.model_validate_json(text)
    check_reference(config)
    try:
        print("said:", sorted(load_model(config, torch.device("cpu")).fingerprint().items()))
    except ModelError as error:
        print("said:", error)
"""


def offline(cache: Path, *configs: ModelConfig) -> list[str]:
    """What a process of its own says whose hub cache is this, without network."""
    command = [sys.executable, "-c", IN_A_PROCESS, *(c.model_dump_json() for c in configs)]
    environment = os.environ | {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=cache, check=False
    )
    assert ended.returncode == 0, ended.stderr
    lines = [line for line in ended.stdout.splitlines() if line.startswith("said: ")]
    assert len(lines) == len(configs), ended.stdout
    return [line.removeprefix("said: ") for line in lines]


def put_in_cache(folder: Path, cache: Path, repository: str) -> Path:
    """As huggingface_hub lays a downloaded repository out; returns its snapshot."""
    root, commit = cache / f"models--{repository.replace('/', '--')}", "0123456789" * 4
    shutil.copytree(folder, root / "snapshots" / commit)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(commit)
    return root / "snapshots" / commit


def test_models_vaes_and_configs_by_hub_id(sd15: Tiny, sdxl: Tiny, tmp_path: Path) -> None:
    for one in (sd15, sdxl):
        put_in_cache(one.folder, tmp_path, f"someone/{one.family}")
    put_in_cache(sdxl.folder / "vae", tmp_path, "someone/vae")
    said = offline(
        tmp_path,
        sd15.config("someone/sd15"),
        sdxl.config("someone/sdxl"),
        sdxl.config(sdxl.file, config="someone/sdxl", vae="someone/vae"),
    )
    expected = [str(sorted(one.load().fingerprint().items())) for one in (sd15, sdxl)]
    assert said == [expected[0], expected[1], expected[1]]


def test_what_is_not_in_the_hub_cache(sd15: Tiny, sdxl: Tiny, tmp_path: Path) -> None:
    half = put_in_cache(sd15.folder, tmp_path, "someone/half")
    (half / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    nothing, incomplete, file, vae = offline(
        tmp_path,
        sd15.config(HUB_ID),
        sd15.config("someone/half"),
        sdxl.config(sdxl.file),
        sd15.config(vae="someone/vae"),
    )
    missing = "not in the hub cache, and the hub cannot be reached"
    advice = "connect once to download it, or give a folder or a .safetensors file"
    absent = f"no such folder is here, it is {missing}; {advice}"
    assert nothing == f"{HUB_ID} cannot be loaded as a sd15 base model: {absent}"
    assert incomplete.startswith("someone/half cannot be loaded as a sd15 base model: ")
    assert file == (
        f"{sdxl.file} cannot be loaded as a sdxl base model: its configuration is {missing}; "
        "set model.config to a diffusers folder of this family"
    )
    assert vae == f"someone/vae cannot be loaded as a VAE: {absent}"


def test_hub_model_of_the_other_family(
    sdxl: Tiny, sd15: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = str(sdxl.folder / "model_index.json")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *arguments: index)
    said = (f"{HUB_ID} holds a model of family sdxl", 'the study says family = "sd15"')
    refused(sd15.config(HUB_ID), *said, early=False)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RepositoryNotFoundError, "no such folder is here, and the hub has none by that id"),
        (GatedRepoError, "the hub has none by that id or wants `hf auth login`"),
        (RemoteEntryNotFoundError, "on the hub it is not a diffusers model"),
    ],
)
def test_what_the_hub_answers(
    error: type[HfHubHTTPError], said: str, sd15: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(*arguments: object) -> None:
        raise error("404 Client Error\n\nand more", response=Mock())

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", answer)
    refused(sd15.config(HUB_ID), f"{HUB_ID} cannot be loaded", said, early=False)


def other_vae(model: Tiny, **changes: Any) -> Any:
    """Another VAE of the model's own layout."""
    made = tiny.sd15_vae() if model.family == "sd15" else tiny.sdxl_vae()
    return original.changed(made, mid_block_add_attention=True, **changes)


def test_separate_vae_by_folder(model: Tiny) -> None:
    torch.manual_seed(9)
    vae = other_vae(model, scaling_factor=0.5)
    vae.save_pretrained(model.extra / f"{model.family}-vae")
    plain, loaded = model.load(), model.load(vae=model.extra / f"{model.family}-vae")
    assert all(equal(v, vae.state_dict()[k]) for k, v in loaded.modules["vae"].state_dict().items())
    assert loaded.scaling_factor == 0.5
    assert loaded.modules["unet"] is not plain.modules["unet"]
    differ = {k for k, v in plain.fingerprint().items() if v != loaded.fingerprint()[k]}
    assert differ == {"vae"}


@pytest.mark.parametrize("prefix", ["", "first_stage_model."])
def test_separate_vae_by_file_keeps_the_base_models_scaling(prefix: str, model: Tiny) -> None:
    torch.manual_seed(9)
    vae = other_vae(model)
    path = model.extra / f"{model.family}-{len(prefix)}-vae.safetensors"
    save_file({prefix + k: v.contiguous() for k, v in original.original_vae(vae).items()}, path)
    loaded = model.load(vae=path)
    assert all(equal(v, vae.state_dict()[k]) for k, v in loaded.modules["vae"].state_dict().items())
    assert loaded.scaling_factor == model.load().scaling_factor


def test_vae_with_other_latents_is_refused(sd15: Tiny, sdxl: Tiny) -> None:
    refused(sd15.config(vae=sdxl.folder / "vae"), "is a VAE with other latents", early=False)


def test_folder_that_is_no_vae(model: Tiny) -> None:
    for folder in (model.folder, model.folder / "unet", model.extra / "nowhere"):
        refused(model.config(vae=folder), f"{folder} is not the folder of a VAE", '"vae"')


def test_single_file_of_the_other_family(sd15: Tiny, sdxl: Tiny) -> None:
    for asked, found in ((sd15, sdxl), (sdxl, sd15)):
        refused(
            asked.config(found.file, config=asked.folder),
            f"{found.file} holds a model of family {found.family}",
            f'the study says family = "{asked.family}"',
        )


def test_folder_and_configs_of_the_other_family(sd15: Tiny, sdxl: Tiny) -> None:
    refused(sd15.config(sdxl.folder), "holds a model of family sdxl", 'family = "sd15"')
    mixed = sdxl.config(sdxl.file, config=sd15.folder)
    refused(mixed, f"{sd15.folder} holds a model of family sd15", 'family = "sdxl"')


def test_damaged_file(model: Tiny, tmp_path: Path) -> None:
    whole = model.file.read_bytes()
    for name, content in (("cut", whole[:-1000]), ("page", b"<html>"), ("empty", b"")):
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        said = f"{path} is not a readable .safetensors file, perhaps an unfinished download"
        refused(model.config(path, config=model.folder), said)


def test_damaged_checkpoint_with_pickles(sd15: Tiny, tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    path.write_bytes(b"no pickle")
    refused(sd15.config(path, config=sd15.folder), f"{path} cannot be loaded as a", early=False)


def test_checkpoint_with_pickles(sd15: Tiny, tmp_path: Path) -> None:
    torch.save({"state_dict": load_file(sd15.file)}, tmp_path / "model.ckpt")
    same(sd15.load(), sd15.load(tmp_path / "model.ckpt", config=sd15.folder))


@pytest.mark.parametrize("key", ["lora_down.weight", "lora_A.weight", "lokr_w1"])
def test_lora_instead_of_a_base_model(key: str, model: Tiny, tmp_path: Path) -> None:
    path = tmp_path / "lora.safetensors"
    save_file({f"lora_unet_mid_block_attentions_0_proj_in.{key}": torch.zeros(4, 8)}, path)
    refused(model.config(path), f"{path} is a LoRA, not a base model; give the model it was")


def test_files_that_are_no_whole_model(model: Tiny) -> None:
    encoders = ("cond_stage_model.", "conditioner.")
    unet_alone = copied(
        model, "unet", lambda s: {k: v for k, v in s.items() if not k.startswith(encoders)}
    )
    part = model.folder / "unet" / "diffusion_pytorch_model.safetensors"
    for path in (unet_alone, part):
        refused(model.config(path), f"{path} is no whole model of Stable Diffusion 1.x or XL")


@pytest.mark.parametrize("start", ["model.diffusion_model.", "first_stage_model."])
def test_file_without_some_part(start: str, model: Tiny) -> None:
    lacking = copied(
        model, start, lambda s: {k: v for k, v in s.items() if not k.startswith(start)}
    )
    config = model.config(lacking, config=model.folder)
    refused(config, f"{lacking} cannot be loaded as a {model.family} base model", early=False)


@pytest.mark.parametrize(
    "end",
    ["input_blocks.1.0.in_layers.2.weight", "first_stage_model.quant_conv.bias", "mlp.fc1.bias"],
)
def test_file_without_some_weight(end: str, model: Tiny) -> None:
    lacking = copied(model, end[:5], lambda s: {k: v for k, v in s.items() if not k.endswith(end)})
    refused(
        model.config(lacking, config=model.folder),
        f"{lacking} cannot be loaded as a {model.family} base model: ",
        "weights are missing from the file",
        early=False,
    )


def test_sdxl_file_without_a_weight_of_its_second_encoder(sdxl: Tiny) -> None:
    name = "conditioner.embedders.1.model.text_projection"
    lacking = copied(sdxl, "second", lambda s: {k: v for k, v in s.items() if k != name})
    config = sdxl.config(lacking, config=sdxl.folder)
    refused(config, "among them text_encoder_2.text_projection.weight", early=False)


def test_file_with_weights_of_other_shapes(model: Tiny) -> None:
    key = "model.diffusion_model.input_blocks.0.0.weight"
    inpainting = copied(model, "in", lambda s: s | {key: torch.zeros(*s[key].shape[:1], 9, 3, 3)})
    config = model.config(inpainting, config=model.folder)
    refused(config, f"{inpainting} cannot be loaded as a", early=False)


def test_folders_that_are_no_models(model: Tiny, tmp_path: Path) -> None:
    refused(model.config(tmp_path / "nowhere"), "no such folder; give a diffusers folder")
    refused(model.config(tmp_path / "no.safetensors"), "no such file; give a .safetensors file")
    refused(model.config(tmp_path), "is not a diffusers model folder: it has no model_index.json")
    index = tmp_path / "model_index.json"
    index.write_text("{")
    refused(model.config(tmp_path), f"{index} is not readable JSON")
    index.write_text(json.dumps({"_class_name": "FluxPipeline"}))
    refused(model.config(tmp_path), "holds a model of family unknown")


def test_vae_file_that_holds_none(sd15: Tiny, tmp_path: Path) -> None:
    save_file({"something": torch.zeros(1)}, tmp_path / "vae.safetensors")
    said = f"{tmp_path}/vae.safetensors cannot be loaded as a VAE: "
    refused(sd15.config(vae=tmp_path / "vae.safetensors"), said, early=False)
    (tmp_path / "cut.safetensors").write_bytes(b"1234")
    refused(sd15.config(vae=tmp_path / "cut.safetensors"), "is not a readable .safetensors file")


def test_folder_without_weights(model: Tiny) -> None:
    hollow = model.extra / f"{model.family}-hollow"
    shutil.copytree(model.folder, hollow, ignore=shutil.ignore_patterns("*.safetensors"))
    refused(model.config(hollow), f"{hollow} cannot be loaded as a", early=False)
