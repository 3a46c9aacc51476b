"""Tokenising in processes of their own: texts go out and token ids come back as Arrow streams.

    with Workers(vocabulary, 2) as workers:
        for item, tokens in workers.map((item, texts) for ...):

Most of the time of building a cache goes into tokenising. The workers do that alone: they load the
vocabulary and nothing else, no TensorFlow, while the main process reads, renders and writes. So
results come in order, and the cache is the same whatever their number. A worker ends with its
input, so none outlives the main process.

A worker is `python -m flan_jax.data.tokenisation_workers`, with the vocabulary's facts as JSON in
the first line of its standard input and the stream of texts behind it.
"""

import collections
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from flan_jax.data import vocabularies
from flan_jax.data.ragged import Ragged
from flan_jax.data.vocabularies import AnyVocabulary

Item = TypeVar("Item")

# Batches that are with each worker or done and not yet asked for: bounds the memory.
_BATCHES_AHEAD = 3
_TEXTS = pa.schema([pa.field("text", pa.string())])
# The ids of each text; with the metadata "fault", one row with the number of the text that has it.
_IDS = pa.schema([pa.field("ids", pa.list_(pa.int32()))])


class TextFault(ValueError):
    """A text that cannot be tokenised.

    Attributes:
      text: its number among those that were given.
      item: what they came with; see `Workers.map`.
    """

    def __init__(self, text: int, reason: str):
        super().__init__(reason)
        self.text = text
        self.item: Any = None


def encode(vocabulary: AnyVocabulary, texts: Sequence[str]) -> Ragged:
    """Tokenises texts in this process.

    Args:
      vocabulary: text to token ids.
      texts: the texts.

    Returns:
      Their token ids, int32, without ends of sequence.

    Raises:
      TextFault: one of them cannot be tokenised.
    """
    try:
        ids = vocabulary.encode_batch(texts)
    except Exception as error:
        raise _fault(vocabulary, texts, error) from error
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    flat = np.fromiter(chain.from_iterable(ids), np.int32, int(lengths.sum()))
    return Ragged(flat, lengths)


def _fault(vocabulary, texts, error: Exception) -> Exception:
    """Finds the text that cannot be tokenised; gives the error itself if each alone can be."""
    for number, text in enumerate(texts):
        try:
            vocabulary.encode(text)
        except Exception as reason:
            return TextFault(number, f"{type(reason).__name__}: {reason}")
    return error


def in_process(
    vocabulary: AnyVocabulary, items: Iterable[tuple[Item, Sequence[str]]]
) -> Iterator[tuple[Item, Ragged]]:
    """Does without workers what `Workers.map` does."""
    for item, texts in items:
        with _with_item(item):
            tokens = encode(vocabulary, texts)
        yield item, tokens


@contextlib.contextmanager
def _with_item(item) -> Iterator[None]:
    """Lets a fault say what its texts came with."""
    try:
        yield
    except TextFault as fault:
        fault.item = item
        raise


class Workers:
    """Processes that tokenise; a context manager that ends them."""

    def __init__(self, vocabulary: AnyVocabulary, number: int):
        """Starts them.

        Args:
          vocabulary: text to token ids, at a path that they can read.
          number: how many, at least 1.
        """
        self._vocabulary = vocabulary
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._all = [_Worker(vocabulary) for _ in range(number)]
        for worker in self._all:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(number, thread_name_prefix="tokenise")

    def map(self, items: Iterable[tuple[Item, Sequence[str]]]) -> Iterator[tuple[Item, Ragged]]:
        """Tokenises the texts of each item.

        Args:
          items: pairs of anything and its texts; taken a few ahead of what is yielded.

        Yields:
          Each item with the token ids of its texts, in order.

        Raises:
          TextFault: a text cannot be tokenised.
          RuntimeError: a worker has ended.
        """
        waiting = collections.deque()
        items = iter(items)
        while True:
            for item, texts in islice(items, _BATCHES_AHEAD * len(self._all) - len(waiting)):
                waiting.append((item, self._threads.submit(self._encode, texts)))
            if not waiting:
                return
            item, future = waiting.popleft()
            with _with_item(item):
                tokens = future.result()
            yield item, tokens

    def _encode(self, texts: Sequence[str]) -> Ragged:
        worker = self._idle.get()
        try:
            return worker.encode(texts)
        except UnicodeEncodeError as error:  # cannot even be sent
            raise _fault(self._vocabulary, texts, error) from error
        finally:
            self._idle.put(worker)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes; what was not yet tokenised is lost."""
        for worker in self._all:
            worker.kill()
        self._threads.shutdown(cancel_futures=True)


class _Worker:
    """One process, and the streams to and from it."""

    def __init__(self, vocabulary: AnyVocabulary):
        # What this process can import, the worker must find too.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flan_jax.data.tokenisation_workers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        facts = json.dumps(vocabularies.facts(vocabulary))
        self._process.stdin.write(f"{facts}\n".encode())
        self._requests = pa.ipc.new_stream(self._process.stdin, _TEXTS)
        self._replies: pa.ipc.RecordBatchStreamReader | None = None

    def encode(self, texts: Sequence[str]) -> Ragged:
        try:
            self._requests.write_batch(pa.record_batch([pa.array(texts, pa.string())], _TEXTS))
            self._process.stdin.flush()
            self._replies = self._replies or pa.ipc.open_stream(self._process.stdout)
            batch, metadata = self._replies.read_next_batch_with_custom_metadata()
        except (OSError, StopIteration, pa.ArrowInvalid) as error:
            raise RuntimeError(
                "a process that tokenises has ended (exit code "
                f"{self._process.wait()}; its own message is above); build again, without such "
                "processes if memory is short (workers=0)"
            ) from error
        (ids,) = batch.columns
        flat, lengths = np.asarray(ids.flatten()), np.diff(np.asarray(ids.offsets)).astype(np.int64)
        if metadata:
            raise TextFault(int(flat[0]), metadata[b"fault"].decode())
        return Ragged(flat, lengths)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                pass  # a request that was not sent any more


def main() -> None:
    """Answers the texts on standard input with token ids on standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's affair
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not come between the replies
    vocabulary = vocabularies.from_facts(json.loads(sys.stdin.buffer.readline()))
    writer = pa.ipc.new_stream(replies, _IDS)
    try:
        for batch in pa.ipc.open_stream(sys.stdin.buffer):
            writer.write_batch(*_answer(vocabulary, batch.column(0).to_pylist()))
            replies.flush()
    except BrokenPipeError:
        os._exit(1)  # the main process has ended, which needs no comment


def _answer(vocabulary: AnyVocabulary, texts: list[str]) -> tuple[pa.RecordBatch, dict | None]:
    try:
        return _reply(encode(vocabulary, texts)), None
    except TextFault as fault:
        number = Ragged(np.array([fault.text], np.int32), np.ones(1, np.int64))
        return _reply(number), {"fault": str(fault)}


def _reply(ids: Ragged) -> pa.RecordBatch:
    # Of buffers: for `pa.array` pyarrow would load pandas, if that is there, for most of a second.
    offsets = np.concatenate([[0], np.cumsum(ids.lengths)]).astype(np.int32)
    flat = pa.Array.from_buffers(pa.int32(), len(ids.flat), [None, pa.py_buffer(ids.flat)])
    buffers = [None, pa.py_buffer(offsets)]
    kind = _IDS.field("ids").type
    lists = pa.Array.from_buffers(kind, len(ids.lengths), buffers, children=[flat])
    return pa.RecordBatch.from_arrays([lists], schema=_IDS)


if __name__ == "__main__":
    main()
