"""Progress where no bar can be drawn: lines, now and then, on standard error."""

import sys

from facegeo.base import progress
from facegeo.base.progress import ProgressLine


class Clock:
    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


def test_a_log_gets_a_line_at_once_then_one_every_ten_seconds_and_the_last(monkeypatch, capsys):
    clock = Clock(monkeypatch)
    with ProgressLine("epoch 1/2", 50, initial=10) as line:
        for step in range(40):
            clock.now += 1
            line.update(figures={"loss": 1 / (step + 1)})
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "epoch 1/2: 11/50, loss 1, 1 s",
        "epoch 1/2: 21/50, loss 0.09091, 11 s, 29 s left",
        "epoch 1/2: 31/50, loss 0.04762, 21 s, 19 s left",
        "epoch 1/2: 41/50, loss 0.03226, 31 s, 9 s left",
        "epoch 1/2: 50/50, loss 0.025, 40 s",
    ]


def test_other_processes_and_work_that_is_done_already_say_nothing(capsys):
    with ProgressLine("epoch", 5, shown=False) as line:
        line.update()
    ProgressLine("epoch", 5, initial=5).close()
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with ProgressLine("epoch", 3) as line:
        line.update(3, {"loss": 0.5})
    assert "epoch: 100%|" in capsys.readouterr().err
