"""The store: what survives a cut, a crash, damage and company. Real files, real processes, signals and limits."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_mnist.errors import UserError
from tune_mnist.store.merge import merge
from tune_mnist.store.sealed import encode
from tune_mnist.store.store import Held, Row, Store
from tune_mnist.task import Config, run_key

RECORD: dict[str, Any] = {"config": {"lr": 0.1}, "conditions": {"dataset": "digits"}}
OTHERS: dict[str, Any] = {"config": {"lr": 0.2}, "conditions": {"dataset": "digits"}}
KEY, OTHER = (run_key(Config(one["config"]), one["conditions"]) for one in (RECORD, OTHERS))
ROOT = Path(__file__).parents[1]
MEASURED = st.dictionaries(
    st.text(max_size=8).filter(lambda name: name not in ("epoch", "run", "crc32", "diverged")),
    st.one_of(st.floats(allow_nan=False), st.integers(), st.text(max_size=8), st.booleans()),
    max_size=5,
)
HISTORIES = st.lists(MEASURED, min_size=1, max_size=6).map(
    lambda rows: [{"epoch": epoch, **row} for epoch, row in enumerate(rows, start=1)]
)
LAWS = settings(deadline=None, max_examples=40)


def row(epoch: int, **more: Any) -> Row:
    return {"epoch": epoch, "train_loss": 0.1 * epoch, "hostname": "here", **more}


def history(store: Store, key: str = KEY) -> Path:
    return store.folder / key / "history.jsonl"


def checkpoints(store: Store, key: str = KEY) -> list[Path]:
    """The run's checkpoint files, oldest first."""
    return sorted((store.folder / key).glob("epoch-*.pt"))


def filled(store: Store, rows: list[Row], key: str = KEY) -> Store:
    """`store` with an opened run that has these rows."""
    with store.claim([key]):
        store.open(key, OTHERS if key == OTHER else RECORD)
        for one in rows:
            store.append(key, one)
    return store


def trained(store: Store, epochs: int, key: str = KEY) -> Store:
    """`store` with a run of so many epochs, each with its checkpoint."""
    filled(store, [], key)
    for epoch in range(1, epochs + 1):
        store.append(key, row(epoch))
        store.save_checkpoint(key, epoch, f"state after {epoch}".encode())
    return store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@contextmanager
def new_store() -> Iterator[Store]:
    """A store for one example of a property: pytest's tmp_path is one for all of them."""
    with tempfile.TemporaryDirectory() as folder:
        yield Store(Path(folder))


@contextmanager
def process(store: Store, code: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs `code` with `store` and KEY, started and given up by this one."""
    imports = "from pathlib import Path\nfrom tune_mnist.store.store import Store\n"
    text = f"{imports}store = Store(Path({str(store.folder)!r}))\nKEY = {KEY!r}\n" + textwrap.dedent(code)
    child = subprocess.Popen(
        [sys.executable, "-c", text], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with child:
        yield child
        child.kill()


def said(child: subprocess.Popen[str]) -> str:
    """The next line of the process's output."""
    assert child.stdout is not None
    return child.stdout.readline().strip()


# Histories


@given(HISTORIES)
@LAWS
def test_what_is_appended_is_read_back_to_the_bit(rows: list[Row]) -> None:
    with new_store() as store:
        assert repr(filled(store, rows).held(KEY).rows) == repr(tuple(rows))  # -0.0 == 0.0, but not to the bit


@given(HISTORIES, st.data())
@LAWS
def test_a_cut_at_any_byte_leaves_a_state_before_or_after_a_row(rows: list[Row], data: st.DataObject) -> None:
    with new_store() as store:
        whole = history(filled(store, rows)).read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        history(store).write_bytes(whole[:cut])
        assert store.held(KEY) == Held(tuple(rows[: whole[:cut].count(b"\n")]))


def test_a_cut_at_each_byte_of_a_write_is_mended_by_the_next_append(store: Store) -> None:
    """Every byte of one line, the last newline too; then the row is trained and written again."""
    before = history(filled(store, [row(1)])).read_bytes()
    line = encode(row(2), KEY)
    for cut in range(len(line)):
        history(store).write_bytes(before + line[:cut])
        assert store.held(KEY).rows == (row(1),)
        assert store.append(KEY, row(2))
        assert history(store).read_bytes() == before + line


def test_a_write_that_a_full_disk_cuts_short_loses_that_row_only(store: Store) -> None:
    size = history(filled(store, [row(1)])).stat().st_size
    code = f"""\
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, ({size + 20}, {size + 20}))
        try:
            store.append(KEY, {row(2)})
        except OSError:
            print("refused", flush=True)
    """
    with process(store, code) as child:
        assert said(child) == "refused"
    assert history(store).stat().st_size == size + 20
    assert store.held(KEY) == Held((row(1),))


def test_a_process_killed_while_it_writes_leaves_whole_rows(store: Store) -> None:
    code = """\
        with store.claim([KEY]):
            store.open(KEY, {})
            for epoch in range(1, 100_000):
                store.append(KEY, {"epoch": epoch})
                print(epoch, flush=True)
    """
    with process(store, code) as child:
        reported = [int(said(child)) for _ in range(20)][-1]
        child.send_signal(signal.SIGKILL)
        child.wait()
        epochs = store.held(KEY).epochs
    assert epochs >= reported
    assert store.append(KEY, row(epochs + 1))


@given(HISTORIES, st.data())
@LAWS
def test_a_flipped_byte_is_named_or_loses_nothing_but_a_torn_end(rows: list[Row], data: st.DataObject) -> None:
    """A space that becomes a tab changes no value; the last newline gone is a torn line."""
    with new_store() as store:
        content = bytearray(history(filled(store, rows)).read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
        history(store).write_bytes(content)
        held = store.held(KEY)
        torn = place == len(content) - 1
        assert held.rows == (() if held.damage else tuple(rows[:-1] if torn else rows))


@pytest.mark.parametrize("line", [1, 2, 3])
def test_a_changed_number_is_named_with_its_line(store: Store, line: int) -> None:
    text = history(filled(store, [row(1), row(2), row(3)])).read_text()
    lines = text.splitlines(keepends=True)
    lines[line - 1] = lines[line - 1].replace("here", "hers")
    history(store).write_text("".join(lines))
    assert store.held(KEY) == Held(damage=f"line {line} of {history(store)} is damaged")


@pytest.mark.parametrize(
    ("order", "line"),
    [
        pytest.param([2, 3], 1, id="first deleted"),
        pytest.param([1, 3], 2, id="middle deleted"),
        pytest.param([1, 1, 2, 3], 2, id="first doubled"),
        pytest.param([1, 2, 3, 3], 4, id="last doubled"),
        pytest.param([1, 3, 2], 2, id="exchanged"),
    ],
)
def test_lines_that_are_not_one_epoch_after_another_are_named(store: Store, order: list[int], line: int) -> None:
    filled(store, [])
    history(store).write_bytes(b"".join(encode(row(epoch), KEY) for epoch in order))
    assert store.held(KEY).damage == f"line {line} of {history(store)} is damaged"


@pytest.mark.parametrize("line", [b"", b"[]", b"7", b"null", b"\xff", b'{"epoch": 1}', b'{"epoch": 1, "crc32": 7}'])
def test_a_line_that_is_no_row_is_named(store: Store, line: bytes) -> None:
    filled(store, [])
    history(store).write_bytes(line + b"\n")
    assert store.held(KEY).damage == f"line 1 of {history(store)} is damaged"


def test_damage_concerns_its_own_run_only(store: Store) -> None:
    trained(trained(store, 2), 3, OTHER)
    history(store).write_bytes(b"damaged\n")
    assert store.held(OTHER) == Held((row(1), row(2), row(3)), resume=3)


def test_opening_a_damaged_run_says_what_was_damaged(store: Store) -> None:
    history(trained(store, 2)).write_bytes(b"damaged\n")
    assert store.open(KEY, RECORD) == [f"line 1 of {history(store)} is damaged; the run is trained again"]


def test_a_damaged_run_starts_again_from_nothing(store: Store) -> None:
    history(trained(store, 2)).write_bytes(b"damaged\n")
    store.open(KEY, RECORD)
    assert (store.held(KEY), store.load_checkpoint(KEY)) == (Held(), None)


def test_a_damaged_history_is_set_aside_not_thrown_away(store: Store) -> None:
    history(trained(store, 2)).write_bytes(b"damaged\n")
    store.open(KEY, RECORD)
    assert history(store).with_name("history.old1.jsonl").read_bytes() == b"damaged\n"


def test_a_torn_line_is_nothing_to_say_anything_about(store: Store) -> None:
    filled(store, [row(1)])
    with history(store).open("ab") as file:
        file.write(encode(row(2), KEY)[:30])
    assert store.open(KEY, RECORD) == []


def test_an_epoch_that_is_held_is_not_stored_again(store: Store) -> None:
    before = history(filled(store, [row(1), row(2)])).read_bytes()
    assert not store.append(KEY, row(1, hostname="there"))
    assert history(store).read_bytes() == before


def test_a_row_that_leaves_a_gap_is_refused(store: Store) -> None:
    filled(store, [row(1)])
    with pytest.raises(OSError, match="epoch 3 cannot follow 1 stored ones"):
        store.append(KEY, row(3))


def test_a_history_is_read_once_for_all_that_is_added_to_it(store: Store) -> None:
    filled(store, [row(1)])
    text = history(store).read_text()
    history(store).write_text(text.replace("here", "hers"))  # as long as before, so only reading it would show
    assert store.append(KEY, row(2))
    assert store.held(KEY).damage == f"line 1 of {history(store)} is damaged"


def test_a_row_follows_what_another_process_has_added(store: Store) -> None:
    filled(store, [row(1)])
    with history(store).open("ab") as file:
        file.write(encode(row(2), KEY) + encode(row(3), KEY)[:30])
    assert not store.append(KEY, row(2))
    assert store.append(KEY, row(3))
    assert store.held(KEY) == Held((row(1), row(2), row(3)))


def test_a_row_is_not_added_to_a_damaged_history(store: Store) -> None:
    history(filled(store, [row(1)])).write_bytes(b"damaged\n")
    with pytest.raises(OSError, match=r"line 1 of .* is damaged"):
        store.append(KEY, row(1))


# Checkpoints


def test_the_newest_checkpoint_is_loaded(store: Store) -> None:
    assert trained(store, 3).load_checkpoint(KEY) == (3, b"state after 3")


def test_training_can_go_on_from_the_newest_checkpoint(store: Store) -> None:
    filled(trained(store, 3), [row(4), row(5)])
    assert (store.held(KEY).epochs, store.held(KEY).resume) == (5, 3)


def test_two_checkpoints_are_kept(store: Store) -> None:
    assert [path.name[:11] for path in checkpoints(trained(store, 5))] == ["epoch-00004", "epoch-00005"]


def test_a_checkpoint_ahead_of_its_history_is_not_used(store: Store) -> None:
    store = filled(store, [row(1)])
    store.save_checkpoint(KEY, 1, b"one")
    store.save_checkpoint(KEY, 2, b"two")
    assert (store.held(KEY).resume, store.load_checkpoint(KEY)) == (1, (1, b"one"))


@pytest.mark.parametrize("damage", [b"", b"state after", b"state after 4"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(store: Store, damage: bytes) -> None:
    checkpoints(trained(store, 3))[-1].write_bytes(damage)
    assert store.load_checkpoint(KEY) == (2, b"state after 2")


def test_opening_a_run_with_a_damaged_checkpoint_says_where_it_goes_on(store: Store) -> None:
    newest = checkpoints(trained(store, 3))[-1]
    newest.write_bytes(b"damaged")
    assert store.open(KEY, RECORD) == [f"checkpoint {newest} is damaged; training goes on from epoch 2"]


def test_opening_a_run_with_both_checkpoints_damaged_says_that_it_starts_at_epoch_0(store: Store) -> None:
    for path in checkpoints(trained(store, 3)):
        path.write_bytes(b"damaged")
    assert store.open(KEY, RECORD)[-1].endswith("is damaged; training goes on from epoch 0")


def test_with_both_checkpoints_damaged_the_history_still_answers(store: Store) -> None:
    for path in checkpoints(trained(store, 3)):
        path.write_bytes(b"damaged")
    store.open(KEY, RECORD)
    assert store.held(KEY) == Held((row(1), row(2), row(3)), resume=0)


def test_a_damaged_checkpoint_is_not_there_after_opening(store: Store) -> None:
    newest = checkpoints(trained(store, 3))[-1]
    newest.write_bytes(b"damaged")
    store.open(KEY, RECORD)
    assert (store.held(KEY).resume, newest.exists()) == (2, False)


def too_large_a_checkpoint(store: Store) -> None:
    """Another process's save of epoch 2's state, cut short by its limit on file sizes as by a full disk."""
    code = """\
        import resource
        store.append(KEY, {"epoch": 2})
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            store.save_checkpoint(KEY, 2, bytes(100_000))
        except OSError:
            print("refused", flush=True)
    """
    with process(store, code) as child:
        assert said(child) == "refused"


def test_a_checkpoint_that_was_cut_short_is_not_there(store: Store) -> None:
    too_large_a_checkpoint(trained(store, 1))
    assert (store.load_checkpoint(KEY), store.held(KEY).resume) == ((1, b"state after 1"), 1)


def test_what_was_cut_short_takes_no_space_for_ever(store: Store) -> None:
    too_large_a_checkpoint(trained(store, 1))
    store.open(KEY, RECORD)
    store.prune(KEY)
    left = sorted(path.name for path in (store.folder / KEY).iterdir())
    assert left == ["history.jsonl", "lock", "run.json"]


def test_pruning_frees_the_checkpoints_bytes(store: Store) -> None:
    size = sum(path.stat().st_size for path in checkpoints(trained(store, 3)))
    assert (store.prune(KEY), checkpoints(store)) == (size, [])


def test_pruning_leaves_the_history(store: Store) -> None:
    trained(store, 3).prune(KEY)
    assert store.held(KEY) == Held((row(1), row(2), row(3)), resume=0)


# Records


def test_a_record_says_why_a_run_is_or_is_not_reused(store: Store) -> None:
    filled(store, [])
    record = json.loads((store.folder / KEY / "run.json").read_text())
    assert record.items() >= {"key": KEY, **RECORD}.items()


def test_opening_a_run_again_leaves_its_record(store: Store) -> None:
    filled(store, [])
    before = (store.folder / KEY / "run.json").read_bytes()
    store.open(KEY, {"config": {}})
    assert (store.folder / KEY / "run.json").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_damaged_record_is_written_again(store: Store, content: bytes) -> None:
    filled(store, [row(1)])
    (store.folder / KEY / "run.json").write_bytes(content)
    assert store.record(KEY) == {}
    store.open(KEY, RECORD)
    assert store.record(KEY)["config"] == RECORD["config"]


def test_a_damaged_record_costs_no_epoch(store: Store) -> None:
    filled(store, [row(1)])
    (store.folder / KEY / "run.json").write_bytes(b"{")
    store.open(KEY, RECORD)
    assert store.held(KEY).rows == (row(1),)


def test_every_run_is_listed(store: Store) -> None:
    assert store.run_keys() == []
    filled(filled(store, []), [], OTHER)
    assert store.run_keys() == [KEY, OTHER]


def test_the_size_is_that_of_the_files(store: Store) -> None:
    trained(store, 2)
    assert store.size(KEY) == sum(len(path.read_bytes()) for path in (store.folder / KEY).iterdir())


# Fresh


def test_fresh_holds_nothing_of_what_was_there(store: Store) -> None:
    trained(store, 2).open(KEY, RECORD, fresh=True)
    assert (store.held(KEY), store.load_checkpoint(KEY)) == (Held(), None)


def test_fresh_sets_the_history_aside(store: Store) -> None:
    before = history(trained(store, 2)).read_bytes()
    store.open(KEY, RECORD, fresh=True)
    assert history(store).with_name("history.old1.jsonl").read_bytes() == before


def test_fresh_is_nothing_to_warn_of(store: Store) -> None:
    assert trained(store, 2).open(KEY, RECORD, fresh=True) == []


# Company


def test_two_stores_on_one_folder_see_the_same(store: Store) -> None:
    second = Store(store.folder)
    for epoch in (1, 2):
        trained(store, epoch)
        assert (second.held(KEY), second.load_checkpoint(KEY)) == (store.held(KEY), store.load_checkpoint(KEY))


def test_a_row_stored_through_one_is_held_for_the_other(store: Store) -> None:
    second = Store(store.folder)
    filled(store, [row(1)])
    assert not second.append(KEY, row(1))
    assert second.append(KEY, row(2))
    assert not store.append(KEY, row(2))


CLAIM = """\
    with store.claim([KEY]) as mine:
        print(*mine, flush=True)
        input()
"""


def test_a_claimed_run_is_not_another_processs(store: Store) -> None:
    with process(store, CLAIM) as holder:
        assert said(holder) == KEY
        with store.claim([KEY, OTHER]) as mine:
            assert mine == [OTHER]


def test_this_processs_claim_keeps_another_process_out(store: Store) -> None:
    with store.claim([KEY]), process(store, CLAIM) as other:
        assert said(other) == ""


def test_a_killed_holders_claim_is_free(store: Store) -> None:
    with process(store, CLAIM) as holder:
        said(holder)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with store.claim([KEY]) as mine:
            assert mine == [KEY]


def test_a_claim_ends_with_its_block(store: Store) -> None:
    with store.claim([KEY]):
        pass
    with store.claim([KEY]) as mine:
        assert mine == [KEY]


def test_a_claim_ends_with_an_error_in_its_block(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), store.claim([KEY]):
        raise KeyboardInterrupt
    with store.claim([KEY]) as mine:
        assert mine == [KEY]


def test_whoever_waits_is_told_who_holds_the_claim(store: Store) -> None:
    with process(store, CLAIM) as other:
        assert said(other) == KEY
        began = time.strftime("%H:%M")
        told = f"pid {other.pid} on host {platform.node()} since "
        assert store.holder(KEY) in {told + began, told + time.strftime("%H:%M")}
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert store.holder(KEY) is None


def test_nobody_holds_what_was_never_claimed_or_is_free_again(store: Store) -> None:
    assert store.holder(KEY) is None
    with store.claim([KEY]):
        assert store.holder(KEY)
    assert store.holder(KEY) is None


def test_when_anything_last_came_of_a_run_is_told(store: Store) -> None:
    assert store.grown(KEY) == 0
    with store.claim([KEY]):
        store.open(KEY, RECORD)
        store.append(KEY, row(1))
        os.utime(history(store), (1000, 1000))
        assert abs(store.grown(KEY) - time.time()) < 60
    assert store.grown(KEY) == 1000


@pytest.mark.parametrize("note", [b"", b"{", b"[" * 900, b'{"pid": "me", "host": 1, "since": "now"}', b"\xff" * 2000])
def test_a_damaged_note_still_says_that_somebody_holds_the_run(store: Store, note: bytes) -> None:
    with store.claim([KEY]):
        (store.folder / KEY / "holder").write_bytes(note)
        assert store.holder(KEY) == "another command"


def test_a_run_is_claimed_once_in_a_process_too(store: Store) -> None:
    with store.claim([KEY]), Store(store.folder).claim([KEY]) as mine:
        assert mine == []


def test_a_store_that_cannot_be_written_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = Store(tmp_path / "file")
    with pytest.raises(UserError) as refused, store.claim([KEY]):
        pass
    assert (
        str(refused.value) == f"store '{store.folder}' cannot be written: Not a directory; choose another with --store"
    )


def test_a_store_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "nowhere")
    assert (store.held(KEY), store.run_keys(), store.record(KEY)) == (Held(), [], {})


def test_looking_at_a_store_makes_no_folder(tmp_path: Path) -> None:
    store = Store(tmp_path / "nowhere")
    store.held(KEY)
    assert not store.folder.exists()


# Two stores into one


def merged(store: Store) -> Store:
    """An empty store beside `store`, with what that has."""
    target = Store(store.folder.with_name("target"))
    assert merge(store.folder, target) == store.held(KEY).epochs
    return target


def test_a_merged_run_has_every_row_and_the_newest_checkpoint(store: Store) -> None:
    target = merged(trained(store, 3))
    assert target.held(KEY) == Held((row(1), row(2), row(3)), resume=3)
    assert target.load_checkpoint(KEY) == (3, b"state after 3")


@pytest.mark.parametrize("damage", [b"", b"state after"])
def test_a_torn_checkpoint_is_not_merged_under_the_name_of_another(store: Store, damage: bytes) -> None:
    checkpoints(trained(store, 3))[-1].write_bytes(damage)
    target = merged(store)
    assert target.load_checkpoint(KEY) == (2, b"state after 2")
    assert target.held(KEY).resume == 2


def test_merging_again_adds_what_has_come_since(store: Store) -> None:
    target = merged(trained(store, 2))
    trained(store, 3)
    assert (merge(store.folder, target), target.load_checkpoint(KEY)) == (1, (3, b"state after 3"))
    assert merge(store.folder, target) == 0
