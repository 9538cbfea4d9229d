"""Writes the TorchScript files that the tests convert. Runs in the environment `torch`: FOLDER."""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn


class Branches(nn.Module):
    """Scripted: the number of rounds and the branch depend on the shape."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(x.size(1)):
            x = torch.tanh(self.layer(x))
        if x.size(0) > 3:
            x = x * 2.0
        return x


class Cnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3),
            nn.ReLU(),
        )
        self.head = nn.Linear(16, 5)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image).mean(dim=(2, 3)))


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 12, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        found, _ = self.lstm(x)
        return self.head(found[:, -1])


class TwoByTwo(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 16)
        self.numbers = nn.Linear(4, 16)

    def forward(self, ids: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        mixed = self.words(ids).mean(dim=1) + self.numbers(numbers)
        return mixed, torch.softmax(mixed, dim=-1)


class Counter(nn.Module):
    """Keeps state."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))
        self.inner = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        self.seen = self.seen + 1
        return self.inner(x) + self.seen


def write_models(folder: Path) -> None:
    torch.manual_seed(7)
    mlp = nn.Sequential(
        nn.Linear(4, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 3), nn.Softmax(dim=-1)
    ).eval()
    torch.jit.trace(mlp, torch.rand(1, 4)).save(folder / "mlp.pt")
    torch.jit.script(Branches().eval()).save(folder / "branches.pt")
    cnn = Cnn()
    cnn(torch.rand(16, 3, 9, 9))  # running means other than zero
    torch.jit.trace(cnn.eval(), torch.rand(1, 3, 16, 16)).save(folder / "cnn.pt")
    encoder = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True).eval()
    torch.backends.mha.set_fastpath_enabled(False)  # else tracing records one operator that only PyTorch has
    torch.jit.trace(encoder, torch.rand(2, 5, 16)).save(folder / "encoder.pt")
    torch.jit.script(Lstm().eval()).save(folder / "lstm.pt")
    two = TwoByTwo().eval()
    torch.jit.trace(two, (torch.ones(2, 5, dtype=torch.int64), torch.rand(2, 4))).save(folder / "two.pt")
    torch.jit.script(Counter().eval()).save(folder / "counter.pt")
    torch.save(mlp.state_dict(), folder / "weights.pt")


if __name__ == "__main__":
    write_models(Path(sys.argv[1]))
