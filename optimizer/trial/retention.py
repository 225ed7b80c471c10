"""Which LoRA files of a trial stay on disk: fifty trials of six checkpoints fill one."""

from collections.abc import Sequence

from optimizer.config.study import SearchConfig
from optimizer.trial.scored import ScoredCheckpoint


def forget_checkpoints(scored: Sequence[ScoredCheckpoint], study: SearchConfig) -> None:
    """Delete the files that the study does not keep; their scores and pictures stay."""
    kept = {one.checkpoint.path for one in _kept(scored, study)}
    for one in scored:
        if one.checkpoint.path not in kept:
            one.checkpoint.path.unlink(missing_ok=True)


def _kept(scored: Sequence[ScoredCheckpoint], study: SearchConfig) -> Sequence[ScoredCheckpoint]:
    """The best one is always among them: it is what the trial's value stands for."""
    if study.keep_checkpoints == "all":
        return scored
    best_first = sorted(scored, key=lambda one: one.rank, reverse=True)
    if study.keep_checkpoints == "best":
        return best_first[: study.keep_count]
    return [*scored[-study.keep_count :], best_first[0]]
