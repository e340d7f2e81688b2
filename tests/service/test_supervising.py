"""One supervisor a fleet, and nobody is turned away because somebody just looked."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from ganger.errors import StateDirError
from ganger.service import wiring
from ganger.service.place import is_supervised


def test_the_second_is_told_who_the_first_is(tmp_path: Path) -> None:
    with wiring.supervising(tmp_path, "run"):
        assert is_supervised(tmp_path)
        why = r"pid \d+ on .* \(ganger run\) since "
        with pytest.raises(wiring.SupervisedElsewhere, match=why), wiring.supervising(tmp_path, "up"):
            pass
    assert not is_supervised(tmp_path)
    with wiring.supervising(tmp_path, "up"):
        pass


def test_those_who_only_look_turn_nobody_away(tmp_path: Path) -> None:
    with wiring.supervising(tmp_path, "run"):
        pass
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            is_supervised(tmp_path)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        until = time.monotonic() + 1
        while time.monotonic() < until:
            with wiring.supervising(tmp_path, "run"):
                pass
    finally:
        over.set()
        for looker in lookers:
            looker.join()


def test_a_state_directory_that_is_not_there_is_a_clear_fault(tmp_path: Path) -> None:
    missing = tmp_path / "nothing"
    with pytest.raises(StateDirError, match=r"supervisor\.lock cannot be opened"), wiring.supervising(missing, "run"):
        pass
