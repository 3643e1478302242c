"""What a stored row, record or checkpoint says of itself, and whether that is true: whose it is, and a checksum.

A file that was copied from another run's folder, or changed by hand, does not pass for this run's. What was written
before rows and checkpoints named their run is taken without.
"""

from __future__ import annotations

import contextlib
import json
import re
import zlib
from collections.abc import Mapping
from typing import Any

from tune_mnist.store.regular import Unfit
from tune_mnist.task import Config, run_key

Row = dict[str, Any]
_END = len(', "crc32": "0f0f0f0f"}')
_HEAD = re.compile(rb"tune-mnist checkpoint of run (\w+) after epoch (\d+)\n")
_HEAD_MOST = 120  # bytes
_DECODER = json.JSONDecoder()  # json.loads looks at its options first, at every line


def encode(row: Row, run: str) -> bytes:
    """A history's line: the row as JSON, with the key of its run and, at its end, the CRC-32 of all of that."""
    return sealed({**row, "run": run}).encode() + b"\n"


def decode(line: bytes, run: str, epoch: int) -> Row:
    """The row of a history's line, without its newline. Raises Unfit if it is damaged, or another run's or epoch's."""
    row = _parsed(line)
    if not _pop_seal(line, row) or row.get("epoch") != epoch:
        raise Unfit("damaged")
    if (said := row.pop("run", run)) != run:
        raise Unfit(f"of run {_key(said)}")
    return row


def is_as_written(line: bytes, run: str, epoch: int) -> bool:
    """Whether a history's line is good as it stands, seen without parsing it; what is not may still be."""
    mine = line.endswith(f', "run": "{run}"'.encode(), 0, -_END) or b', "run": "' not in line
    end = f', "crc32": "{_without_end(line)}"}}'.encode()
    return mine and line.startswith(b'{"epoch": %d, ' % epoch) and line.endswith(end)


def encode_record(record: Mapping[str, Any]) -> bytes:
    """A run's record as JSON for people to read, with the CRC-32 of the rest of it at its end."""
    return (sealed(record, indent=2) + "\n").encode()


def decode_record(content: bytes, run: str) -> dict[str, Any]:
    """The record of a run. Raises Unfit if it is damaged, was altered, or is another run's."""
    record = _parsed(content)
    said = _key(record.get("key"))
    if said != run:
        raise Unfit(f"of run {said}")
    if "crc32" in record:
        if not _pop_seal(content, record):
            raise Unfit("altered")
    elif "config" in record and not _is_asked_by(record, run):  # written before records had checksums
        raise Unfit("altered: its config and conditions are not those of the run's key")
    return record


def sealed(record: Mapping[str, Any], indent: int | None = None) -> str:
    """The record as JSON that ends with the CRC-32 of what it is without, in one line."""
    return json.dumps({**record, "crc32": _checksum(json.dumps(record).encode())}, indent=indent)


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        record = _DECODER.decode(str(text, "utf-8"))
    except (ValueError, RecursionError):
        record = {}
    return record if isinstance(record, dict) else {}


def _key(said: object) -> str:
    """A run's key, as a file has it."""
    if not isinstance(said, str) or not said.isalnum():
        raise Unfit("damaged")
    return said


def _pop_seal(text: bytes, record: dict[str, Any]) -> bool:
    """Take the checksum out of what was read; whether the rest is what it was of. Its layout does not count."""
    checksum = record.pop("crc32", None)
    if _without_end(text) == checksum:  # a line, as it was written
        return True
    with contextlib.suppress(RecursionError):
        return bool(_checksum(json.dumps(record).encode()) == checksum)
    return False


def _without_end(line: bytes) -> str:
    """The checksum of a line without that at its end."""
    return f"{zlib.crc32(b'}', zlib.crc32(memoryview(line)[:-_END])):08x}"


def _checksum(content: bytes) -> str:
    return f"{zlib.crc32(content):08x}"


def _is_asked_by(record: Mapping[str, Any], run: str) -> bool:
    config, conditions = record["config"], record.get("conditions")
    if not isinstance(config, dict) or not isinstance(conditions, dict):
        return False
    with contextlib.suppress(RecursionError):
        return run_key(Config(config, needs_total=True), conditions, record.get("alone") or "") == run
    return False


def with_head(state: bytes, run: str, epoch: int) -> bytes:
    """A checkpoint's content: a line that says whose it is, and the state."""
    return b"tune-mnist checkpoint of run %s after epoch %d\n" % (run.encode(), epoch) + state


def without_head(content: bytes, run: str, epoch: int) -> bytes:
    """The state of a checkpoint. Raises Unfit if it is another run's, or of another epoch."""
    head = _HEAD.match(content[:_HEAD_MOST])
    if head is None:
        return content
    whose, after = head[1].decode(), int(head[2])
    if whose != run:
        raise Unfit(f"of run {whose}")
    if after != epoch:
        raise Unfit(f"of epoch {after}")
    return content[head.end() :]
