"""What a LoRA file's header says of the pictures it was trained on, by sd-scripts' names."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from optimizer.config.training import Hyperparameters
from optimizer.data.batches import batches_per_epoch
from optimizer.data.records import Record


def header(
    records: Sequence[Record], settings: Hyperparameters, validation: int, *, names_folders: bool
) -> dict[str, Any]:
    """Counts of pictures with their repeats; folders and tags where people want them told.

    Args:
        validation: pictures that are never trained on.
    """
    train = [record for record in records if not record.is_reg]
    facts = {
        "ss_num_train_images": sum(record.subset.num_repeats for record in train),
        "ss_num_reg_images": sum(r.subset.num_repeats for r in records if r.is_reg),
        "ss_num_validation_images": validation,
        "ss_num_batches_per_epoch": batches_per_epoch(records, settings.train_batch_size),
        "ss_batch_size_per_device": settings.train_batch_size or train[0].dataset.batch_size,
        "ss_resolution": str(train[0].dataset.resolution),
        "ss_enable_bucket": train[0].dataset.enable_bucket,
    }
    return facts | (_folders(records) if names_folders else {})


def _folders(records: Sequence[Record]) -> dict[str, str]:
    folders: dict[str, dict[str, int]] = {}
    tags: dict[str, Counter[str]] = {}
    for record in records:
        name = record.path.parent.name
        folder = folders.setdefault(name, {"n_repeats": record.subset.num_repeats, "img_count": 0})
        folder["img_count"] += 1
        words = record.captions[0].split(record.subset.caption_separator)
        tags.setdefault(name, Counter()).update(word.strip() for word in words if word.strip())
    return {"ss_dataset_dirs": json.dumps(folders), "ss_tag_frequency": json.dumps(tags)}
