"""Pictures and notes for optuna-dashboard, written while a study runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial
from PIL import Image

from optimizer.config.study import StudyConfig
from optimizer.report.audiences import Spectator
from optimizer.report.dashboard_plots import save_plots
from optimizer.report.dashboard_storage import artifact_folder
from optimizer.report.findings import TrialRow, find, lead
from optimizer.report.pictures import planned_pictures
from optimizer.report.templating import environment
from optimizer.report.transfer_story import transfer_story
from optimizer.scoring.sheet import Cell, Row, write_sheet
from optimizer.space.fit import Fitted
from optimizer.trial.outcome import Outcome
from optimizer.trial.scored import ScoredCheckpoint

_QUALITY = 85


@dataclass(frozen=True)
class _TrialHandle:
    """As much of an optuna.Trial as optuna_dashboard asks for; making a real one would sample."""

    storage: BaseStorage
    study: optuna.Study
    _trial_id: int


class DashboardNotes(Spectator):
    """Pictures and a contact sheet per checkpoint, a note per trial and study, and figures."""

    def __init__(self, config: StudyConfig) -> None:
        self.config = config
        self.folder = artifact_folder(config)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.store = FileSystemArtifactStore(self.folder)
        self.study: optuna.Study | None = None
        self.number = 0
        self.sheets: dict[int, str] = {}

    def study_opened(self, study: optuna.Study, n_trials: int, seeds: list[Fitted]) -> None:
        """Say what is there already."""
        self.study = study
        self._note_study(study)

    def trial_began(self, number: int) -> None:
        """No pictures yet."""
        self.number, self.sheets = number, {}

    def scored(self, checkpoint: ScoredCheckpoint) -> None:
        """Keep its pictures while the trial can still be written to."""
        if self.study is None:
            return
        epoch, scores = checkpoint.checkpoint.epoch, checkpoint.scores
        samples = self.config.folder / f"trial_{self.number:04d}" / "samples" / f"{epoch:06d}"
        title = f"trial {self.number}, epoch {epoch}: objective {scores.objective:.3f}"
        trial = self.study.get_trials(deepcopy=False)[self.number]
        with TemporaryDirectory() as folder:
            sheet = Path(folder) / f"epoch_{epoch:06d}.jpg"
            _draw(self.config, samples, title, sheet)
            self.sheets[epoch] = self._upload(self.study, trial, sheet)
            for sample in _as_jpegs(self.config, samples, sheet.with_suffix("")):
                self._upload(self.study, trial, sample)

    def _upload(self, study: optuna.Study, trial: FrozenTrial, path: Path) -> str:
        return upload_artifact(
            artifact_store=self.store,
            file_path=str(path),
            study_or_trial=trial,
            storage=study._storage,
        )

    def trial_ended(self, number: int, outcome: Outcome, is_best: bool) -> None:
        """Write down what became of the trial, and where the study stands."""
        if self.study is None:
            return
        self._note_trial(self.study, number)
        self._note_study(self.study)

    def _note_trial(self, study: optuna.Study, number: int) -> None:
        from optuna_dashboard import save_note
        from optuna_dashboard.artifact import get_artifact_path

        frozen = study.get_trials(deepcopy=False)[number]
        handle = _TrialHandle(study._storage, study, frozen._trial_id)
        paths = {epoch: get_artifact_path(handle, one) for epoch, one in self.sheets.items()}
        found = find(study, self.config)
        trial = next(t for t in found.trials if t.number == number)
        save_note(handle, trial_note(trial, self.config, paths, found.best))

    def _note_study(self, study: optuna.Study) -> None:
        from optuna_dashboard import save_note

        found = find(study, self.config)
        story = transfer_story(self.config, found)
        note = environment().get_template("note_study.md.j2")
        save_note(
            study, note.render(config=self.config, found=found, lead=lead(found), story=story)
        )
        save_plots(study, self.config, found, story)


def trial_note(
    trial: TrialRow, config: StudyConfig, sheets: dict[int, str], best: TrialRow | None
) -> str:
    """Markdown about a trial; `sheets` are addresses of contact sheets by epoch."""
    template = environment().get_template("note_trial.md.j2")
    return template.render(trial=trial, config=config, sheets=sheets, best=best)


def _as_jpegs(config: StudyConfig, samples: Path, stem: Path) -> Iterator[Path]:
    """Every picture of a checkpoint, named by its place and seed."""
    for place, planned in enumerate(planned_pictures(config)):
        path = stem.with_name(f"{stem.name}_{place:03d}_seed_{planned.seed}.jpg")
        with Image.open(samples / f"{place:03d}.png") as image:
            image.convert("RGB").save(path, quality=_QUALITY)
        yield path


def _draw(config: StudyConfig, samples: Path, title: str, path: Path) -> None:
    """A contact sheet as JPEG: a PNG of all pictures would be as large as they are."""
    rows: dict[str, list[Cell]] = {}
    for place, planned in enumerate(planned_pictures(config)):
        with Image.open(samples / f"{place:03d}.png") as image:
            cell = Cell(image.convert("RGB"), f"seed {planned.seed}")
        rows.setdefault(planned.prompt, []).append(cell)
    whole = path.with_suffix(".png")
    write_sheet(whole, title, [Row(prompt, tuple(cells)) for prompt, cells in rows.items()])
    with Image.open(whole) as sheet:
        sheet.convert("RGB").save(path, quality=_QUALITY)
