"""What is told while an evaluation runs, and how long its stages take."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

log = logging.getLogger("breedblup")

Monitor = Callable[[str, Mapping[str, Any]], None]
"""Told of each stage as it begins, and of each round of an iteration: ``monitor("round", {"round": 1, "error": 0.1})``."""


class Stopwatch:
    """Seconds by stage; tells the monitor and the log when a stage begins."""

    def __init__(self, monitor: Monitor | None) -> None:
        self.seconds: dict[str, float] = {}
        self._monitor = monitor

    @contextmanager
    def stage(self, name: str, words: str) -> Iterator[None]:
        """Time what happens inside; ``words`` are for the log."""
        log.info(words)
        if self._monitor is not None:
            self._monitor(name, {})
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
