"""Embeddings of captions: each is encoded once and kept on disk."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from optimizer.data.cache import TensorStore, digest


class EmbeddingSource:
    """Loads embeddings of captions, encoding what the store does not hold.

    encode: a batch-first tensor per name, of a list of captions. identity: differs for all that
    would make other embeddings: text encoders, max_token_length, clip_skip.
    """

    def __init__(
        self,
        store: TensorStore,
        encode: Callable[[list[str]], dict[str, Tensor]],
        identity: str,
    ) -> None:
        self.store = store
        self.encode = encode
        self.identity = identity
        self.encoded = 0
        """Captions that had to be encoded so far."""

    def load(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Return a tensor (B, ...) per name, in the order of the captions.

        Raises:
            InputError: the store cannot be read or written.
        """
        unique = {caption: self._tensors(caption) for caption in dict.fromkeys(captions)}
        loaded = [unique[caption] for caption in captions]
        return {name: torch.stack([one[name] for one in loaded]) for name in loaded[0]}

    def prepare(self, captions: Iterable[str]) -> None:
        """Encode what the store does not hold."""
        for caption in dict.fromkeys(captions):
            if not self.store.holds(self._key(caption)):
                self._tensors(caption)

    def _key(self, caption: str) -> str:
        return digest({"kind": "embeddings", "caption": caption, "encoders": self.identity})

    def _tensors(self, caption: str) -> dict[str, Tensor]:
        key = self._key(caption)
        tensors = self.store.get(key)
        if tensors is None:
            tensors = self._encoded(caption)
            self.store.put(key, tensors)
        return tensors

    def _encoded(self, caption: str) -> dict[str, Tensor]:
        # One by one: in a batch the last bits depend on what else was missing, and a resumed
        # run would differ from an uninterrupted one.
        with torch.no_grad():
            batch = self.encode([caption])
        self.encoded += 1
        return {name: tensor[0].detach().cpu() for name, tensor in batch.items()}
