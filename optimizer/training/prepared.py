"""A dataset ready to train on: batches of cached latents, cached embeddings of captions."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from optimizer.config.training import Hyperparameters
from optimizer.data.batches import epoch_batches, updates_per_epoch
from optimizer.data.cache import TensorStore
from optimizer.data.digests import records_digest
from optimizer.data.header import header
from optimizer.data.latents import Batch, LatentSource
from optimizer.data.prompts import EmbeddingSource
from optimizer.data.records import Record
from optimizer.data.samples import BatchPlan, both_flips, place_record, validation_plans
from optimizer.errors import DatasetError
from optimizer.models.base import PromptEmbeds
from optimizer.models.pipeline_model import PipelineModel


class PreparedData:
    """The pictures of a study on one base model. What was encoded once is shared by all trials."""

    def __init__(
        self,
        records: Sequence[Record],
        model: PipelineModel,
        store: TensorStore,
        validation: Sequence[Record] = (),
        *,
        names_folders: bool = False,
    ) -> None:
        """Check that the pictures fit the model.

        Args:
            validation: pictures that are never trained on.
            names_folders: whether LoRA files may tell folder names and tags.

        Raises:
            DatasetError: with all pictures that do not fit.
        """
        self.records, self.model, self.store = tuple(records), model, store
        self.validation_records, self.names_folders = tuple(validation), names_folders
        self.latents = LatentSource(store, model.encode_pictures, model.identity_of("vae"))
        self.embeddings: dict[str, EmbeddingSource] = {}
        _check_buckets((*self.records, *self.validation_records), model.vae_factor)

    @property
    def digest(self) -> str:
        """sha256 over pictures and captions, the first 16 digits."""
        return records_digest({"train": self.records, "validation": self.validation_records})

    def epoch(self, epoch: int, settings: Hyperparameters) -> Sequence[BatchPlan]:
        """The batches of an epoch (counted from 1), the same for the same seed."""
        accumulation = settings.gradient_accumulation_steps
        updates = updates_per_epoch(self.records, settings.train_batch_size, accumulation)
        return epoch_batches(
            self.records,
            seed=settings.seed,
            epoch=epoch,
            train_batch_size=settings.train_batch_size,
            prior_loss_weight=settings.prior_loss_weight,
            gradient_accumulation_steps=accumulation,
            max_train_steps=updates * settings.max_train_epochs,
        )

    def encode_all(self) -> None:
        """Encode every picture now, so that a broken one is said before training."""
        self.latents.prepare(both_flips(self.records))
        self.latents.prepare(self.validation())

    def validation(self) -> Sequence[BatchPlan]:
        """The validation pictures one by one, without augmentation."""
        return validation_plans(self.validation_records)

    def header(self, settings: Hyperparameters) -> Mapping[str, Any]:
        """What a LoRA file says of the pictures; folder names and tags only when that is wanted."""
        validation = len(self.validation_records)
        return header(self.records, settings, validation, names_folders=self.names_folders)

    def load(self, plan: BatchPlan) -> Batch:
        """Latents and captions of one batch."""
        return self.latents.load(plan)

    def embeds(self, captions: Sequence[str], settings: Hyperparameters) -> PromptEmbeds:
        """Embeddings by the frozen text encoders."""
        tensors = self._source(settings).load(captions)
        return PromptEmbeds(tensors["prompt_embeds"], tensors.get("pooled_prompt_embeds"))

    def encode_captions(self, plans: Sequence[BatchPlan], settings: Hyperparameters) -> None:
        """Encode now what is missing of these plans' captions."""
        captions = (sample.caption for plan in plans for sample in plan.samples)
        self._source(settings).prepare(captions)

    def _source(self, settings: Hyperparameters) -> EmbeddingSource:
        length, skip = settings.max_token_length, settings.clip_skip
        encoders = [self.model.identity_of(name) for name in self.model.encoder_names]
        identity = f"{self.model.family} {encoders} {length} {skip}"
        if identity not in self.embeddings:

            def encode(captions: list[str]) -> dict[str, Tensor]:
                embeds = self.model.encode_prompts(
                    captions, max_token_length=length, clip_skip=skip
                )
                found = {"prompt_embeds": embeds.prompt_embeds}
                if embeds.pooled_prompt_embeds is not None:
                    found["pooled_prompt_embeds"] = embeds.pooled_prompt_embeds
                return found

            self.embeddings[identity] = EmbeddingSource(self.store, encode, identity)
        return self.embeddings[identity]


def _check_buckets(records: Sequence[Record], factor: int) -> None:
    sizes = {place_record(record).bucket: record for record in reversed(records)}
    problems = [
        f"{record.path} would train at {width}x{height}, but both sides must be multiples of "
        f"{factor}, the VAE's factor; change resolution or bucket_reso_steps"
        for (width, height), record in sizes.items()
        if width % factor or height % factor
    ]
    if problems:
        raise DatasetError(problems)
