"""Running tasks one after the other here, or in worker processes, with results in the order of the tasks."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
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
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        running: deque[Future[Result]] = deque()
        for task in tasks:
            running.append(pool.submit(work, task))
            while len(running) > workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
