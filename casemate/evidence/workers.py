"""Running tasks one after the other here, or in worker processes, with results in the order of the tasks."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.connection import wait
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")
Run = Callable[[Callable[[Task], Result], Iterable[Task]], Iterator[Result]]
"""The shape of ``Engine.run``."""


def run_here(work: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
    """Run each task when its result is asked for."""
    for task in tasks:
        yield work(task)


def run_in_processes(
    work: Callable[[Task], Result], tasks: Iterable[Task], workers: int, preload: tuple[str, ...] = ()
) -> Iterator[Result]:
    """Run tasks in `workers` processes; at most `workers` + 1 wait or run at a time.

    The processes come from a fork server, not from this one: its threads and locks stay its own.
    """
    context = multiprocessing.get_context("forkserver")
    if preload:
        context.set_forkserver_preload(list(preload))
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_stay_with_parent)
    try:
        running: deque[Future[Result]] = deque()
        for task in tasks:
            running.append(pool.submit(work, task))
            while len(running) > workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    except BaseException:
        # an interrupt or a full disk: what is being read is not needed any more
        for process in list((pool._processes or {}).values()):
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _stay_with_parent() -> None:
    """In a worker: leave Ctrl-C to the parent, and end when it has ended, however it did."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)  # nobody waits for the result, and the next run may use the same folders

    threading.Thread(target=watch, daemon=True).start()
