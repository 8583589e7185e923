"""The one training loop: what it minimises, when it stops, how it survives a kill."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typing_extensions import override

from matdisco.errors import SurrogateError
from surrogates.base import HistoryRow
from surrogates.checkpoint import WEIGHTS
from surrogates.training import Schedule, Task, block, blocks, train
from surrogates.training_state import Resume

ROOT = Path(__file__).parents[2]


class Stop(Exception):
    """Stands for a kill where a process of its own would be slow."""


class Line(Task[np.ndarray]):
    """Two members learn a slope each; an epoch is eight steps of four records."""

    def __init__(self, epochs: int, seed: int = 0, noise: float = 0.0) -> None:
        self.module = nn.ParameterList([torch.zeros(2, 3), torch.zeros(2, 1)])
        super().__init__([self.module], 2, 8 * epochs)
        draw = np.random.default_rng(7)
        self.x = draw.normal(size=(32, 3)).astype(np.float32)
        self.y = self.x @ np.array([1.0, -2.0, 0.5], np.float32) + 0.3
        self.y += noise * draw.normal(size=32).astype(np.float32)
        self.seed, self.judges = seed, list[float]()
        self.taken = 0

    @override
    def batches(self, epoch: int) -> Iterable[np.ndarray]:
        order = np.random.default_rng([self.seed, epoch]).permutation(32)
        return iter(order.reshape(8, 4))

    @override
    def loss(self, batch: np.ndarray) -> Tensor:
        self.taken += 1
        x, y = torch.from_numpy(self.x[batch]), torch.from_numpy(self.y[batch])
        slope, offset = self.module
        loss: Tensor = ((slope @ x.T + offset - y) ** 2).mean(dim=1).sum()
        return loss

    @override
    def judge(self) -> float:
        return self.judges.pop(0)

    @override
    def facts(self) -> tuple[object, Iterable[np.ndarray]]:
        return self.seed, (self.x, self.y)

    def weights(self) -> list[np.ndarray]:
        return [p.detach().numpy().copy() for p in self.module]


def schedule(epochs: int, **changes: float) -> Schedule:
    return Schedule(epochs, 0.1, weight_decay=0.0, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_members_find_the_line(average: float) -> None:
    task = Line(80)
    rows = train(task, schedule(80, average=average), stage="fit")
    slope, offset = task.weights()
    np.testing.assert_allclose(slope, [[1.0, -2.0, 0.5]] * 2, atol=1e-2)
    np.testing.assert_allclose(offset, 0.3, atol=1e-2)
    assert [row["epoch"] for row in rows] == list(range(1, 81))
    assert float(rows[0]["loss"]) > 1 > 1e-2 > float(rows[-1]["loss"])


def test_without_an_average_the_last_weights_stay() -> None:
    plain, tiny = Line(3), Line(3)
    train(plain, schedule(3, average=0.0), stage="fit")
    train(tiny, schedule(3, average=1e-12), stage="fit")
    for a, b in zip(plain.weights(), tiny.weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    averaged = Line(3)
    train(averaged, schedule(3, average=0.99), stage="fit")
    assert np.abs(averaged.weights()[0] - plain.weights()[0]).max() > 1e-3


def test_each_member_is_clipped_by_itself() -> None:
    task = Line(1)
    with torch.no_grad():
        task.module[0][1] = torch.tensor([1.0, -2.0, 0.5])
        task.module[1][1] = 0.3  # knows the answer: its gradient is nothing
    before = task.weights()
    train(task, schedule(1, clip=1e-3), stage="fit")
    after = task.weights()
    assert np.abs(after[0][0] - before[0][0]).max() > 1e-3, "Adam has no scale"
    np.testing.assert_allclose(after[0][1], before[0][1], atol=1e-3)


@pytest.mark.parametrize(
    ("patience", "judges", "epochs"),
    [
        (0.5, [3.0, 2.0, *[2.5] * 20], 22),  # best at 2, ten more twice over
        (0.1, [3.0, 2.0, *[2.5] * 20], 6),
        (0.001, [3.0, 2.0, 2.5, 1.0], 3),  # never before it was judged once
        (1.0, [3.0, *[4.0] * 39], 40),
    ],
)
def test_it_stops_where_the_judges_see_no_more(
    patience: float, judges: list[float], epochs: int
) -> None:
    # a judge every two epochs of forty
    task = Line(40)
    task.judged, task.judges = True, list(judges)
    seen: list[list[np.ndarray]] = []

    def keep(row: HistoryRow) -> None:
        if "held_out_mae" in row:
            seen.append(task.weights())

    rows = train(task, schedule(40, patience=patience, average=0.0), stage="fit",
                 progress=keep)  # fmt: skip
    said = [row["held_out_mae"] for row in rows if "held_out_mae" in row]
    assert said == judges[: len(said)]
    wait = max(patience * 40, 2)
    best = 2 * (1 + int(np.argmin(np.array(said, dtype=float))))
    assert len(rows) == min(40, int(np.ceil(best + wait)))
    for a, b in zip(task.weights(), seen[best // 2 - 1], strict=True):
        np.testing.assert_array_equal(a, b)  # as they were when they judged best


def test_labels_that_are_no_numbers_are_a_sentence() -> None:
    task = Line(2)
    task.y[3] = np.nan
    with pytest.raises(SurrogateError, match=r"diverged in epoch 1 .*broken labels"):
        train(task, schedule(2), stage="fit")
    task = Line(2)
    task.judged, task.judges = True, [float("nan")] * 2
    with pytest.raises(SurrogateError, match="diverged in epoch 1"):
        train(task, schedule(2), stage="fit")

    class Last(Line):
        """Breaks in the very last step, whose loss is still a number."""

        @override
        def loss(self, batch: np.ndarray) -> Tensor:
            loss = super().loss(batch)
            if self.taken == 16:
                self.module[0].register_hook(lambda g: g * float("nan"))
                loss = super().loss(batch)
            return loss

    with pytest.raises(SurrogateError, match="diverged in epoch 2"):
        train(Last(2), schedule(2), stage="fit")


def test_blocks_hold_every_step_once() -> None:
    for steps in (1, 99, 100, 101, 250):
        every = [s for k in range(blocks(steps)) for s in block(k, steps)]
        assert every == list(range(steps))


# ---- resume


def interrupted(task: Line, folder: Path, at: int, epochs: int = 9) -> None:
    def stop(row: HistoryRow) -> None:
        if row["epoch"] == at:
            raise Stop

    with pytest.raises(Stop):
        train(task, schedule(epochs), stage="fit", progress=stop,
              resume=Resume(folder, seconds=0))  # fmt: skip


def same(a: Line, b: Line) -> bool:
    return all(map(np.array_equal, a.weights(), b.weights()))


@pytest.mark.parametrize("judged", [False, True])
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_resume_gives_the_same_bits(
    tmp_path: Path, average: float, judged: bool
) -> None:
    def made() -> Line:
        task = Line(9)
        task.judged, task.judges = judged, [5.0, 4.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
        return task

    plan = schedule(9, average=average, patience=1.0)
    whole, rows, told = made(), list[HistoryRow](), list[HistoryRow]()
    rows += train(whole, plan, stage="fit")

    def stop(row: HistoryRow) -> None:
        if row["epoch"] == 5:
            raise Stop

    first = made()
    with pytest.raises(Stop):
        train(first, plan, stage="fit", progress=stop,
              resume=Resume(tmp_path, seconds=0))  # fmt: skip
    second = made()
    second.judges = second.judges[5:]
    again = train(second, plan, stage="fit", progress=told.append,
                  resume=Resume(tmp_path, seconds=0))  # fmt: skip
    assert second.taken == 4 * 8, "epochs done before are not done again"
    assert same(whole, second)
    assert [dict(r) for r in again] == [dict(r) for r in rows] == list(map(dict, told))
    third = made()  # finished: nothing is left to do
    train(third, plan, stage="fit", resume=Resume(tmp_path, seconds=0))
    assert third.taken == 0 and same(whole, third)
    assert len(list(tmp_path.glob("*/epoch-*"))) == 1
    Resume(tmp_path).clear()
    assert not tmp_path.exists()


@pytest.mark.parametrize("change", ["data", "seed", "weights", "schedule"])
def test_no_training_goes_on_from_another(tmp_path: Path, change: str) -> None:
    interrupted(Line(9), tmp_path, 5)
    task = Line(9, seed=int(change == "seed"), noise=0.1 * (change == "data"))
    if change == "weights":
        with torch.no_grad():
            task.module[0][:] = 1.0
    plan = schedule(9, clip=2.0) if change == "schedule" else schedule(9)
    train(task, plan, stage="fit", resume=Resume(tmp_path, seconds=0))
    assert task.taken == 9 * 8
    # nor did it harm what the other left
    other = Line(9)
    train(other, schedule(9), stage="fit", resume=Resume(tmp_path, seconds=0))
    assert other.taken == 4 * 8


def test_a_damaged_state_is_not_gone_on_from(tmp_path: Path) -> None:
    interrupted(Line(9), tmp_path, 5)
    (state,) = tmp_path.glob("*/epoch-*")
    (state / WEIGHTS).write_bytes(b"x")
    task, whole = Line(9), Line(9)
    train(task, schedule(9), stage="fit", resume=Resume(tmp_path, seconds=0))
    train(whole, schedule(9), stage="fit")
    assert task.taken == 9 * 8 and same(task, whole)


def test_a_fit_of_a_moment_writes_nothing(tmp_path: Path) -> None:
    train(Line(3), schedule(3), stage="fit", resume=Resume(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
