"""Row making in processes of their own: examples go out as JSON, rows come back as Arrow.

    with Workers(maker, 2) as workers:
        for batch, made in workers.map(batches):

Most of the time of building a cache goes into rendering and tokenising. The workers do that alone:
they load templates and the vocabulary, no TensorFlow, while the main process reads, checks and
writes. Results come in order, so the cache is the same whatever their number. A worker ends with
its input, so none outlives the main process.

A worker is `python -m flan_jax.data.row_workers`, with the facts of the `RowMaker` in the first
line of its standard input and a line a batch behind it.
"""

import collections
import importlib.abc
import json
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import pyarrow as pa

from flan_jax.data.renderer import Checked
from flan_jax.data.row_maker import Batch, Made, RowMaker
from flan_jax.data.store import schema
from flan_jax.data.token_statistics import Statistics
from flan_jax.data.tokenisation import TextFault
from flan_jax.data.tokenisation_columns import Columns

# Batches that are with each worker or done and not yet asked for: bounds the memory.
_BATCHES_AHEAD = 3


class Workers:
    """Processes that make rows; a context manager that ends them."""

    def __init__(self, maker: RowMaker, number: int):
        """Starts them.

        Args:
          maker: what each of them does; its vocabulary lies at a path that they can read.
          number: how many, at least 1.
        """
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._all = [_Worker(maker) for _ in range(number)]
        for worker in self._all:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(number, thread_name_prefix="rows")

    def map(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Made]]:
        """Makes the rows of each batch.

        Args:
          batches: the batches; taken a few ahead of what is yielded.

        Yields:
          Each batch with its rows, in order.

        Raises:
          TextFault: a text cannot be tokenised.
          RuntimeError: a worker has ended.
        """
        waiting = collections.deque()
        batches = iter(batches)
        while True:
            for batch in islice(batches, _BATCHES_AHEAD * len(self._all) - len(waiting)):
                waiting.append((batch, self._threads.submit(self._make, batch.examples)))
            if not waiting:
                return
            batch, future = waiting.popleft()
            yield batch, future.result()

    def _make(self, examples: Sequence[Checked]) -> Made:
        worker = self._idle.get()
        try:
            return worker.make(examples)
        finally:
            self._idle.put(worker)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes; what was not yet made is lost."""
        for worker in self._all:
            worker.kill()
        self._threads.shutdown(cancel_futures=True)


class _Worker:
    """One process, and the streams to and from it."""

    def __init__(self, maker: RowMaker):
        # What this process can import, the worker must find too.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flan_jax.data.row_workers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self._fields = maker.renderer.wording.fields
        self._send(maker.facts())
        self._replies: pa.ipc.RecordBatchStreamReader | None = None

    def _send(self, message: object) -> None:
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()

    def make(self, examples: Sequence[Checked]) -> Made:
        try:
            self._send([one.plain(self._fields) for one in examples])
            self._replies = self._replies or pa.ipc.open_stream(self._process.stdout)
            rows, metadata = self._replies.read_next_batch_with_custom_metadata()
        except (OSError, StopIteration, pa.ArrowInvalid) as error:
            raise RuntimeError(
                "a process that makes rows has ended (exit code "
                f"{self._process.wait()}; its own message is above); build again, without such "
                "processes if memory is short (workers=0)"
            ) from error
        reply = json.loads(metadata[b"reply"])
        if "fault" in reply:
            raise TextFault(**reply["fault"])
        counts = np.array(reply["counts"], np.int64)
        return Made(Columns(rows, counts), Statistics.from_facts(reply["statistics"]))

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                pass  # a request that was not sent any more


def main() -> None:
    """Answers the examples on standard input with rows on standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's affair
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not come between the replies
    maker = RowMaker.from_facts(json.loads(sys.stdin.buffer.readline()))
    fields = maker.renderer.wording.fields
    renderer, size = maker.renderer, maker.vocabulary.size
    columns = schema(size, evaluation=renderer.evaluation, content_free=renderer.content_free)
    writer = pa.ipc.new_stream(replies, columns)
    try:
        for line in sys.stdin.buffer:
            examples = [Checked.from_plain(values, fields) for values in json.loads(line)]
            writer.write_batch(*_answer(maker, examples, columns))
            replies.flush()
    except BrokenPipeError:
        os._exit(1)  # the main process has ended, which needs no comment


def _answer(
    maker: RowMaker, examples: list[Checked], columns: pa.Schema
) -> tuple[pa.RecordBatch, dict[str, str]]:
    try:
        made = maker.make(examples)
    except TextFault as fault:
        reply = {"example": fault.example, "template": fault.template, "reason": str(fault)}
        rows = pa.RecordBatch.from_pylist([], schema=columns)
        return rows, {"reply": json.dumps({"fault": reply})}
    counts = made.columns.counts.tolist()
    reply = {"counts": counts, "statistics": made.statistics.facts()}
    return made.columns.rows, {"reply": json.dumps(reply)}


class _WithoutPandas(importlib.abc.MetaPathFinder):
    """Hides pandas from pyarrow, which would load it, if it is there, for most of a second."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(f"{name} is not loaded in this process", name=name)


if __name__ == "__main__":
    sys.meta_path.insert(0, _WithoutPandas())
    main()
