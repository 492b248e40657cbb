"""Running the PDF library: quietly, and where an event loop runs already."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["outside_event_loop", "quiet"]

T = TypeVar("T")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' logs and warnings about a broken file to ourselves.

    What they would say is in our own words; hostile files would flood them.
    """
    loggers = [logging.getLogger(name) for name in ("pyhanko", "pyhanko_certvalidator", "pikepdf")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def outside_event_loop(work: Callable[[], T]) -> T:
    """Run what starts an event loop of its own, also where one runs (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(work).result()
