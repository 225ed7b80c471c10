"""What the base model draws without a LoRA, kept once a study for people to compare with."""

from pathlib import Path

from optimizer.files import write_json
from optimizer.report.pictures import BASE_SAMPLES
from optimizer.scoring.scorer import Scorer
from optimizer.trial.scored import save_pictures

BASE_SCORES = Path("base") / "scores.json"


def keep_base_pictures(scorer: Scorer, folder: Path) -> None:
    """Draw and save the base's pictures and scores, unless they lie in the study's folder.

    Drawn again when only the numbers were cached: once a study, as long as scoring one checkpoint.
    """
    if (folder / BASE_SCORES).exists():
        return
    baseline = scorer.baseline
    save_pictures(baseline.pictures, folder / BASE_SAMPLES)
    write_json(folder / BASE_SCORES, baseline.scores.as_dict())
