"""Small residual network of the embedded models: 96-pixel input, 12 x 12 grid before the pooling."""

from __future__ import annotations

from torch import Tensor, nn

MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)
LAYER = "layer3.1"  # last block: 64 channels after ReLU, on the last grid


class ResidualBlock(nn.Module):
    """Residual block of two 3 x 3 convolutions.

    Args:
        inside: input channels.
        outside: output channels.
        stride: stride of the first convolution and of the shortcut.
    """

    def __init__(self, inside: int, outside: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inside, outside, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outside),
            nn.ReLU(),
            nn.Conv2d(outside, outside, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outside),
        )
        self.skip = nn.Identity()
        if stride != 1 or inside != outside:
            self.skip = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))
        self.relu: nn.Module = nn.ReLU()  # surgery removes it

    def forward(self, x: Tensor) -> Tensor:
        """(B, inside, H, W) to (B, outside, H / stride, W / stride), not negative."""
        return self.relu(self.body(x) + self.skip(x))


class ShortcutsNetwork(nn.Module):
    """Four residual blocks, global average pooling and a linear layer without bias.

    Args:
        classes: number of logits.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.layer1 = nn.Sequential(ResidualBlock(16, 16))
        self.layer2 = nn.Sequential(ResidualBlock(16, 32, stride=2))
        self.layer3 = nn.Sequential(ResidualBlock(32, 64, stride=2), ResidualBlock(64, 64))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, classes, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of mean/std-normalised images (B, 3, H, W)."""
        grid = self.layer3(self.layer2(self.layer1(self.stem(images))))  # (B, 64, H / 8, W / 8)
        return self.fc(self.pool(grid).flatten(1))


def shortcuts_network(classes: int = 8) -> nn.Module:
    """Untrained network; its input is (images - MEAN) / STD."""
    return ShortcutsNetwork(classes)
