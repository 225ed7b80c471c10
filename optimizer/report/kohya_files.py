"""`optimizer export-kohya`: the files for sd-scripts, and the command that runs them."""

from pathlib import Path

import tomli_w

from optimizer.config.kohya_export import kohya_export
from optimizer.config.study import StudyConfig
from optimizer.files import write_bytes
from optimizer.report.final_view import final_settings
from optimizer.report.tables import console


def write_kohya_files(config: StudyConfig, params: Path, output: Path | None) -> None:
    """Write `<study>.toml` and `<study>_dataset.toml`, print command and differences.

    Raises:
        TransferError, ConfigError: the parameters are unusable, or of another family.
    """
    exported = kohya_export(config, final_settings(config, params))
    folder = (output or config.folder / "kohya").absolute()
    dataset = folder / f"{config.name}_dataset.toml"
    training = folder / f"{config.name}.toml"
    arguments = exported.arguments | {
        "dataset_config": str(dataset),
        "output_dir": str(folder / "output"),
    }
    write_bytes(dataset, tomli_w.dumps(exported.dataset).encode())
    write_bytes(training, tomli_w.dumps(arguments).encode())
    console.print(f"written: {training}\nwritten: {dataset}", soft_wrap=True, highlight=False)
    console.print("\nin the folder of sd-scripts:", highlight=False)
    command = f'accelerate launch {exported.script} --config_file "{training}"'
    console.print(f"\n    {command}\n", soft_wrap=True, highlight=False)
    console.print("what it does otherwise than the trials did:", highlight=False)
    for sentence in exported.differences:
        console.print(f"  - {sentence}", soft_wrap=True, highlight=False)
