"""The network of a setting: one of the zoo, or one that is trained first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from camdbench.core.errors import CamdbenchError, NotApplicable
from camdbench.papers.jobs import JobSettings
from camdbench.papers.training import Training


@dataclass
class Networks:
    """Finds, or makes, the networks that a recipe has trained.

    Attributes:
        checkpoints: folder with `NAME.safetensors` and `NAME.json` of each.
        recipes: folder that the training recipes are written into.
        small: whether embedded networks stand for those that were trained by the same loss.
        train: whether the others are trained here and now.
        root_of: from the spec of a data set to where it lies.
        device: where.
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
        """What `camdbench.run` takes as the model.

        Raises:
            CamdbenchError: the network has to be trained first, or training failed.
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
                "the network is trained first: give --train, or "
                f"camdbench train --recipe {recipe} --data-root DIR --out {self.checkpoints} and then the same command again"
            )
        return self._trained(training, recipe)

    def _trained(self, training: Training, recipe: Path) -> str:
        from camdbench.trainer.train import train

        if training in self._failed:
            raise CamdbenchError(self._failed[training])
        self.log(f"training {training.name}")
        try:
            root = self.root_of(training.fields["data"]["dataset"])
            return str(train(recipe, out=self.checkpoints, device=self.device, data_root=root))
        except (CamdbenchError, NotApplicable) as error:
            self._failed[training] = f"training {training.name} failed: {error}"
            raise CamdbenchError(self._failed[training]) from error
