"""Networks of the jobs: models of the zoo or trained networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from camdbench.core.errors import CamdbenchError, NotApplicable, UnwritableFile
from camdbench.papers.jobs import JobSettings
from camdbench.papers.training import Training


@dataclass
class Networks:
    """Finds or trains the networks of a table.

    Attributes:
        checkpoints: folder with `NAME.safetensors` and `NAME.json` of each network.
        recipes: output folder of the training recipes.
        small: whether embedded networks replace networks trained by the same loss.
        train: whether missing networks are trained.
        root_of: from the spec of a data set to its folder.
        device: device of training.
        log: callback for messages.
    """

    checkpoints: Path
    recipes: Path
    small: bool
    train: bool
    root_of: Callable[[str], str | None]
    device: str
    log: Callable[[str], None]
    _failed: dict[Training, str] = field(default_factory=dict[Training, str])

    def name_of(self, setting: JobSettings) -> str:
        """Name or path of the network, for `camdbench.run`.

        Raises:
            CamdbenchError: the network is not trained yet, or training failed.
        """
        training = setting.training
        if training is None:
            return str(setting.model)
        if self.small and (embedded := training.stand_in()):
            return embedded
        file = self.checkpoints / f"{training.name}.safetensors"
        if file.is_file():
            return str(file)
        recipe = training.write(self.recipes)
        if not self.train:
            raise CamdbenchError(
                "the network is not trained yet; use --train, or run "
                f"camdbench train --recipe {recipe} --data-root DIR --out {self.checkpoints} and repeat this command"
            )
        return self._train(training, recipe)

    def _train(self, training: Training, recipe: Path) -> str:
        from camdbench.trainer.train import train

        if training in self._failed:
            raise CamdbenchError(self._failed[training])
        self.log(f"training {training.name}")
        try:
            root = self.root_of(training.fields["data"]["dataset"])
            return str(train(recipe, out=self.checkpoints, device=self.device, data_root=root))
        except UnwritableFile:
            raise
        except (CamdbenchError, NotApplicable) as error:
            self._failed[training] = f"training {training.name} failed: {error}"
            raise CamdbenchError(self._failed[training]) from error
