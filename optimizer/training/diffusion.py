"""From a batch of latents to its loss: noise is drawn and added, the UNet's answer compared."""

import torch
from accelerate import Accelerator
from torch import Tensor

from optimizer.config.training import Hyperparameters
from optimizer.data.latents import Batch
from optimizer.models.base import PictureSizes, PromptEmbeds
from optimizer.models.pipeline_model import PipelineModel
from optimizer.training.loss import (
    huber_thresholds,
    per_picture_loss,
    target_of,
    timestep_weights,
)
from optimizer.training.noise import (
    gaussian,
    perturbed,
    sample_noise,
    sample_timesteps,
    training_scheduler,
)
from optimizer.training.noised import Noised
from optimizer.training.results import TrainingData


class Diffusion:
    """The diffusion loss of one run."""

    def __init__(
        self,
        model: PipelineModel,
        data: TrainingData,
        settings: Hyperparameters,
        accelerator: Accelerator,
    ) -> None:
        self.model, self.data, self.settings = model, data, settings
        self.accelerator = accelerator
        self.scheduler = training_scheduler(dict(model.pipeline.scheduler.config))

    @property
    def timesteps(self) -> int:
        """How many there are."""
        return int(self.scheduler.config.num_train_timesteps)

    def noised(self, batch: Batch, generator: torch.Generator) -> Noised:
        """Noise as the settings want it, at uniformly drawn timesteps."""
        latents = self._latents(batch)
        noise = sample_noise(latents, generator, self.settings)
        timesteps = sample_timesteps(len(latents), self.timesteps, generator)
        added = perturbed(noise, generator, self.settings.ip_noise_gamma)
        return self._assembled(batch, latents, noise, added, timesteps)

    def noised_at(self, timestep: int, batch: Batch, generator: torch.Generator) -> Noised:
        """Plain Gaussian noise, at one timestep for all pictures."""
        latents = self._latents(batch)
        noise = gaussian(latents.shape, generator).to(latents.device)
        timesteps = torch.full((len(latents),), timestep, device=latents.device)
        return self._assembled(batch, latents, noise, noise, timesteps)

    def _latents(self, batch: Batch) -> Tensor:
        return batch.latents.to(self.model.device) * self.model.scaling_factor

    def _assembled(
        self, batch: Batch, latents: Tensor, noise: Tensor, added: Tensor, timesteps: Tensor
    ) -> Noised:
        device = self.model.device
        rows = zip(batch.original_sizes, batch.crops_top_left, batch.target_sizes, strict=True)
        return Noised(
            noisy=self.scheduler.add_noise(latents, added, timesteps),
            target=target_of(self.scheduler, latents, noise, timesteps),
            timesteps=timesteps,
            captions=batch.captions,
            sizes=tuple(PictureSizes(*row) for row in rows),
            loss_weights=batch.loss_weights.to(device),
            masks=None if batch.masks is None else batch.masks.to(device),
        )

    def losses(self, noised: Noised) -> Tensor:
        """The loss of each picture (b,), weighted as the settings say."""
        settings, steps = self.settings, noised.timesteps
        thresholds = huber_thresholds(self.scheduler, steps, settings)
        losses = per_picture_loss(
            self._predict(noised), noised.target, noised.masks, settings.loss_type, thresholds
        )
        weights = timestep_weights(self.scheduler, steps, settings)
        return losses * noised.loss_weights * weights

    def squared_errors(self, noised: Noised) -> Tensor:
        """Plain mean squared error of each picture (b,): comparable between settings."""
        return per_picture_loss(self._predict(noised), noised.target, noised.masks)

    def _predict(self, noised: Noised) -> Tensor:
        with self.accelerator.autocast():
            embeds = self._embeds(noised.captions)
            conditions = self.model.unet_conditions(embeds, list(noised.sizes))
            noisy = noised.noisy.to(self.model.dtype)
            unet = self.model.pipeline.unet
            prediction: Tensor = unet(noisy, noised.timesteps, **conditions).sample
        return prediction

    def _embeds(self, captions: tuple[str, ...]) -> PromptEmbeds:
        if not self.settings.trains_text_encoders:
            return self.data.embeds(captions, self.settings)
        return self.model.encode_prompts(
            list(captions),
            max_token_length=self.settings.max_token_length,
            clip_skip=self.settings.clip_skip,
        )
