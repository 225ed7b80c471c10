"""sd-scripts' two TOML dialects end in the same resolved dataset."""

import json
from pathlib import Path
from typing import Any

import pytest

from optimizer.config.dataset import (
    DatasetConfig,
    dataset_config_from,
    load_config_file,
    load_dataset_config,
)
from optimizer.errors import ConfigError

TABLES = """
[general]
shuffle_caption = true
caption_extension = ".txt"
keep_tokens = 1
enable_bucket = true

[[datasets]]
resolution = 1024
batch_size = 4
keep_tokens = 2
max_bucket_reso = 2048

  [[datasets.subsets]]
  image_dir = "img"
  num_repeats = 10

  [[datasets.subsets]]
  image_dir = "/abs/reg"
  is_reg = true
  class_tokens = "a dog"
  keep_tokens = 3
  shuffle_caption = false

[[datasets]]
resolution = [768, 512]
enable_bucket = false
  [[datasets.subsets]]
  image_dir = "img"
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def problems_of(data: dict[str, Any], source: Path = Path("x.toml")) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        dataset_config_from(data, source)
    return [problem.removeprefix(f"{source}: ") for problem in caught.value.problems]


def one(dataset: dict[str, Any] | None = None, **subset: Any) -> dict[str, Any]:
    table = {"resolution": 512, "subsets": [{"image_dir": "img"} | subset]}
    return {"datasets": [table | (dataset or {})]}


def test_values_come_from_the_nearest_level(tmp_path: Path) -> None:
    config = load_dataset_config(write(tmp_path / "x.toml", TABLES))
    first, second = config.datasets
    assert (first.resolution, first.batch_size, first.enable_bucket) == ((1024, 1024), 4, True)
    assert (second.resolution, second.batch_size, second.enable_bucket) == ((768, 512), 1, False)
    train, reg = first.subsets
    assert [s.keep_tokens for s in (train, reg, second.subsets[0])] == [2, 3, 1]
    assert [s.shuffle_caption for s in (train, reg)] == [True, False]
    assert train.image_dir == tmp_path / "img"
    assert (reg.image_dir, reg.is_reg, reg.class_tokens) == (Path("/abs/reg"), True, "a dog")
    assert (train.num_repeats, reg.num_repeats, train.caption_extension) == (10, 1, ".txt")


def test_defaults_are_those_of_sd_scripts() -> None:
    dataset = dataset_config_from(one(), Path("x.toml")).datasets[0]
    assert not dataset.enable_bucket
    limits = (dataset.min_bucket_reso, dataset.max_bucket_reso, dataset.bucket_reso_steps)
    assert limits == (256, 1024, 64)
    subset = dataset.subsets[0]
    assert (subset.caption_extension, subset.keep_tokens, subset.num_repeats) == (".caption", 0, 1)
    assert (subset.caption_separator, subset.token_warmup_min) == (",", 1)


def test_json_and_extension_without_dot(tmp_path: Path) -> None:
    text = json.dumps(one(caption_extension="txt"))
    config = load_dataset_config(write(tmp_path / "x.json", text))
    assert config.datasets[0].subsets[0].caption_extension == ".txt"


def test_a_subset_without_repeats_is_left_out() -> None:
    data = one()
    data["datasets"][0]["subsets"].append({"image_dir": "off", "num_repeats": 0})
    subsets = dataset_config_from(data, Path("x.toml")).datasets[0].subsets
    assert [subset.image_dir for subset in subsets] == [Path("img")]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (
            one(shufle_caption=True),
            "datasets[0].subsets[0].shufle_caption is not a known key"
            "; did you mean shuffle_caption?",
        ),
        (
            one({"batchsize": 2}),
            "datasets[0].batchsize is not a known key; did you mean batch_size?",
        ),
        (
            one() | {"general": {"resolutoin": 512}},
            "general.resolutoin is not a known key; did you mean resolution?",
        ),
        (
            one(resolution=512),
            "datasets[0].subsets[0].resolution belongs one level up, in [[datasets]]",
        ),
        (
            one({"is_reg": True}),
            "datasets[0].is_reg belongs one level down, in [[datasets.subsets]]",
        ),
        (
            one(metadata_file="x.json"),
            "datasets[0].subsets[0].metadata_file: fine-tuning metadata is not read; give "
            "image_dir with a caption file per picture",
        ),
        (
            one(face_crop_aug_range=[2.0, 4.0]),
            "datasets[0].subsets[0].face_crop_aug_range: cropping around faces is not done"
            "; remove the key",
        ),
        (
            one({"network_multiplier": 0.5}),
            "datasets[0].network_multiplier: one LoRA strength per dataset is not done"
            "; remove the key",
        ),
        (
            one({"prior_loss_weight": 0.5}),
            "datasets[0].prior_loss_weight: belongs to the training settings, not to the dataset",
        ),
        (one({"resolution": None}), "datasets[0].resolution is missing"),
        (
            one({"resolution": "1024x1024"}),
            'datasets[0].resolution must be a size such as 1024, [1024, 1024] or "1024,1024"'
            ', found "1024x1024"',
        ),
        (
            one({"resolution": 500}),
            "datasets[0].resolution 500x500 must be a multiple of 8 without buckets",
        ),
        (
            one({"resolution": 2048, "enable_bucket": True}),
            "datasets[0].max_bucket_reso 1024 is below resolution 2048x2048; raise it",
        ),
        (
            one({"resolution": 128, "enable_bucket": True}),
            "datasets[0].min_bucket_reso 256 is above resolution 128x128; lower it",
        ),
        (one(num_repeats="2"), 'datasets[0].subsets[0].num_repeats must be an integer, found "2"'),
        (
            one(caption_dropout_rate=2),
            "datasets[0].subsets[0].caption_dropout_rate must be at most 1.0, found 2",
        ),
        (
            one(is_reg=True),
            "datasets[0].subsets: every subset is is_reg, there is nothing to train on",
        ),
        (
            one({"subsets": [{"image_dir": "a"}, {"image_dir": "./a"}]}),
            "datasets[0].subsets: a is given 2 times; use num_repeats to see it more often",
        ),
        ({"datasets": 3}, "datasets must be an array, found 3"),
        ({"datasets": [{"resolution": 512}]}, "datasets[0].subsets is missing"),
    ],
)
def test_refusals(data: dict[str, Any], problem: str) -> None:
    if data["datasets"] != 3 and data["datasets"][0].get("resolution", 1) is None:
        del data["datasets"][0]["resolution"]
    assert problems_of(data) == [problem]


def test_all_problems_at_once() -> None:
    assert len(problems_of(one({"batchsize": 2, "metadata_file": "x"}, keep_token=1))) == 3


def test_keys_at_their_harmless_default_are_taken() -> None:
    data = one(
        {"network_multiplier": 1.0, "debug_dataset": False}, color_aug=False, cache_info=True
    )
    data["datasets"][0]["subsets"][0]["custom_attributes"] = {}
    assert dataset_config_from(data, Path("x.toml")).datasets


def flat(tmp_path: Path, **arguments: Any) -> tuple[DatasetConfig, dict[str, Any]]:
    for folder in ("train/10_sks dog", "train/2_cat_b", "train/notes", "reg/1_dog"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    data = {"paths": {"train_data_dir": "train"}, "resolution": "1024,768"} | arguments
    return load_config_file(write(tmp_path / "x.json", json.dumps(data)))


def test_flat_dialect(tmp_path: Path) -> None:
    config, others = flat(
        tmp_path,
        reg_data_dir="reg",
        train_batch_size=2,
        anything={"shuffle_caption": True, "learning_rate": 1e-4, "enable_bucket": True},
        caption_extention=".txt",
        alpha_mask=True,
        sdxl=True,
    )
    (dataset,) = config.datasets
    assert (dataset.resolution, dataset.batch_size, dataset.enable_bucket) == ((1024, 768), 2, True)
    found = [(s.image_dir.name, s.num_repeats, s.class_tokens, s.is_reg) for s in dataset.subsets]
    assert found == [
        ("10_sks dog", 10, "sks dog", False),
        ("2_cat_b", 2, "cat_b", False),
        ("1_dog", 1, "dog", True),
    ]
    assert dataset.subsets[0].image_dir == tmp_path / "train/10_sks dog"
    assert all(s.shuffle_caption and s.alpha_mask for s in dataset.subsets)
    assert dataset.subsets[0].caption_extension == ".txt"
    assert others == {"learning_rate": 1e-4, "sdxl": True}


def test_flat_dialect_may_name_a_dataset_config(tmp_path: Path) -> None:
    write(tmp_path / "tables.toml", TABLES)
    text = """
        dataset_config = "tables.toml"
        flip_aug = true
        keep_tokens = 9
        caption_extension = ".cap"
        seed = 1
    """
    config, others = load_config_file(write(tmp_path / "x.toml", text))
    subset = config.datasets[0].subsets[0]
    assert (subset.flip_aug, subset.keep_tokens, others) == (True, 2, {"seed": 1})
    assert subset.caption_extension == ".txt"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"shufle_caption": True}, "shufle_caption is not a known key"),
        ({"keep_tokens": "3"}, 'keep_tokens must be an integer, found "3"'),
        ({"face_crop_aug_range": "2.0,4.0"}, "face_crop_aug_range: cropping around faces"),
        ({"a": {"resolution": 1}}, "resolution is given twice"),
        ({"reg_data_dir": "nowhere"}, "is not a folder"),
        ({"reg_data_dir": "train/notes"}, "holds no folder named like 10_name"),
        ({"enable_bucket": True, "resolution": 2048}, ": max_bucket_reso 1024 is below"),
    ],
)
def test_flat_refusals(tmp_path: Path, arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        flat(tmp_path, **arguments)
    assert len(caught.value.problems) == 1
    assert problem in str(caught.value)


def test_training_keys_have_no_place_in_a_dataset_table(tmp_path: Path) -> None:
    (tmp_path / "train/1_a").mkdir(parents=True)
    data = {"train_data_dir": "train", "resolution": 512, "learning_rate": 1e-4}
    assert problems_of(data, tmp_path / "x.toml") == ["learning_rate is not a key of a dataset"]


def test_a_file_of_neither_dialect() -> None:
    assert problems_of({"resolution": 512}) == ["has neither [[datasets]] nor train_data_dir"]
    assert problems_of({"dataset": []}) == ["dataset is not a known key; did you mean datasets?"]
