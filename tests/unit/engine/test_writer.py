"""Writing: what follows the newest, when a container is made anew, and what that costs over a long life."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shelf import KEYRING, START, Shelf

from vaultsession.engine import merge_policy, writer
from vaultsession.engine.reader import Reader
from vaultsession.errors import Damaged, InvalidDocument, TooLarge
from vaultsession.format import IndexRowCipher, document, payload
from vaultsession.format import record as v1
from vaultsession.format.document import Change
from vaultsession.format.keys import MasterKey
from vaultsession.format.sealed import Tombstone


def noise(size: int, seed: int = 0) -> str:
    return random.Random(seed).randbytes(size // 2).hex()


def kinds(shelf: Shelf) -> list[int]:
    assert shelf.row is not None
    container = shelf.fetch(0)
    assert container is not None
    return [record.kind for record in v1.records_from(container, 80)]


# -- one record at a time ----------------------------------------------------------------------------------------------


def test_each_verb_is_one_record_behind_the_newest():
    shelf = Shelf()
    shelf.create({}, [{"n": 0}])
    shelf.append({"n": 1})
    shelf.merge({"a": 1})
    shelf.pop()
    shelf.touch()
    shelf.save({}, [])
    assert kinds(shelf) == [v1.FULL, v1.DELTA, v1.DELTA, v1.DELTA, v1.HEAD, v1.FULL]
    assert shelf.replaced == 1
    assert shelf.written == len(shelf.data)


def test_heads_count_what_a_reader_opens():
    shelf = Shelf(level=None)
    shelf.create({"a": 1}, [{"n": 0}], max_messages=3)
    shelf.append({"n": 1}, {"n": 2})
    head = shelf.states[-1].head
    texts = [payload.body({"a": 1}, [{"n": 0}]), payload.body({}, [{"n": 1}, {"n": 2}])]
    assert (head.messages, head.records, head.raw, head.full, head.dead) == (3, 2, sum(map(len, texts)), 80, 0)
    shelf.append({"n": 3})
    head = shelf.states[-1].head
    assert (head.messages, head.records) == (3, 3)
    assert shelf.states[-1].document[1] == [{"n": n} for n in (1, 2, 3)]
    assert head.dead > 0
    shelf.pop(2)
    assert shelf.states[-1].head.messages == 1
    before = len(shelf.data)
    shelf.save({}, [])
    head = shelf.states[-1].head
    assert (head.messages, head.records, head.raw, head.full, head.dead) == (0, 1, 4, before, 0)


def test_what_the_change_says_is_what_max_messages_drops():
    shelf = Shelf()
    shelf.create({}, [], max_messages=2)
    _, opened = shelf.newest()
    addition = shelf.writer.pack(payload.body({}, [{"n": n} for n in range(5)]))
    change, fitted = shelf.writer.with_trim(opened.head, addition, shelf.history)
    assert change == Change(trim=3)
    assert fitted.text.startswith(b'[{"trim":3},\n{"n":0}')
    assert fitted.messages == 5
    again = shelf.writer.with_trim(opened.head, addition, shelf.history)
    assert again == (change, fitted)
    few = shelf.writer.pack(payload.body({}, [{"n": 1}]))
    assert shelf.writer.with_trim(opened.head, few, shelf.history) == (document.NO_CHANGE, few)


def test_a_state_too_deep_to_be_set_is_refused_by_name():
    value: object = 1
    for _ in range(payload.DEEPEST):
        value = [value]
    shelf = Shelf()
    shelf.create({"deep": value}, [])
    assert shelf.states[-1].document == ({"deep": value}, [])
    with pytest.raises(InvalidDocument, match="too deeply"):
        shelf.merge({"deep": value})


def test_times_never_go_back_and_lives_are_extended():
    shelf = Shelf()
    shelf.create({}, [], ttl=1_000_000, sliding=True, expires=START + 1_000_000)
    updated = shelf.states[-1].head.updated
    shelf.clock.time = START - 10**9
    shelf.append({"n": 0})
    assert shelf.states[-1].head.updated == updated
    shelf.clock.time = START + 500_000
    shelf.append({"n": 1})
    head = shelf.states[-1].head
    assert head.updated > updated
    assert head.expires is not None
    assert START + 1_500_000 <= head.expires < START + 1_600_000
    shelf.touch(7)
    assert shelf.states[-1].head.updated == head.updated


def test_a_session_that_does_not_slide_keeps_its_expiry():
    shelf = Shelf()
    shelf.create({}, [], ttl=10**9, expires=START + 10**9)
    shelf.append({"n": 0})
    assert shelf.states[-1].head.expires == START + 10**9


# -- a container of its own --------------------------------------------------------------------------------------------


def test_a_long_history_is_written_in_records_of_bounded_size():
    messages = [{"n": n, "x": noise(20_000, n)} for n in range(40)]
    shelf = Shelf(level=None)
    shelf.create({"a": 1}, messages)
    container = shelf.fetch(0)
    assert container is not None
    records = list(v1.records_from(container, 80))
    assert [record.kind for record in records] == [v1.FULL, v1.DELTA, v1.DELTA, v1.DELTA]
    assert all(record.size < document.SEGMENT + 1000 for record in records)
    assert records[-1].size < document.SEGMENT // document.NEWEST + 1000
    assert shelf.states[-1].document == ({"a": 1}, messages)
    assert shelf.states[-1].head.records == 4
    shelf.save({"a": 2}, messages)
    assert shelf.replaced == 2  # several records are only written into a container of their own


@pytest.mark.parametrize("verb", ["save", "append", "merge", "pop", "touch"])
@pytest.mark.parametrize("cause", ["torn", "spoiled", "older key", "other suite", "padding"])
def test_what_cannot_or_must_not_be_extended_is_replaced(verb, cause):
    shelf = Shelf()
    shelf.create({"a": 1}, [{"n": 0}])
    shelf.append({"n": 1})
    before = shelf.states[-1]
    shelf.row = None
    if cause == "torn":
        shelf.data += b"torn"
    elif cause == "spoiled":
        shelf.spoiled = True
    elif cause == "older key":
        shelf.reader.keys.change(lambda masters: (MasterKey(b"master-2", bytes(32)), *masters))
    elif cause == "other suite":
        shelf.writer._suite = v1.SUITE_CHACHA
    else:
        shelf.writer._padded = True
    if verb == "save":
        shelf.save({"a": 1}, [{"n": 0}, {"n": 1}])
    elif verb == "append":
        shelf.append()
    elif verb == "merge":
        shelf.merge({"a": 1})
    elif verb == "pop":
        shelf.pop(0)
    else:
        shelf.touch()
    if verb == "touch" and cause not in ("torn", "spoiled"):  # a touch seals no document
        assert shelf.replaced == 1
        return
    after = shelf.states[-1]
    assert shelf.replaced == 2
    assert after.document == before.document
    assert after.witness.generation == before.witness.generation + 1
    assert after.witness.seq == 0
    header = v1.parse_header(shelf.data)
    assert header.key_id == shelf.reader.keyring.first.id
    assert header.suite == shelf.writer._suite
    assert header.flags == int(shelf.writer._padded)


def test_nothing_of_an_older_document_stays_in_a_container_of_its_own():
    shelf = Shelf(level=None)
    shelf.create({"secret": noise(1000, 1)}, [{"x": noise(1000, 2)}])
    shelf.append({"x": noise(1000, 3)})
    row, opened = shelf.newest()
    bodies = shelf.writer.pack_document([b"{}"])
    shelf.commit(shelf.writer.new_container(shelf.key, row, opened.head, bodies))
    assert len(shelf.data) < 500
    assert shelf.states[-1].document == ({}, [])
    head = shelf.states[-1].head
    assert (head.messages, head.records, head.raw, head.dead, head.full, head.document) == (0, 1, 4, 0, 80, None)


def test_a_merge_keeps_the_version_of_a_document_that_stays_as_it_was():
    shelf = Shelf()
    shelf.create({}, [{"n": 0}])
    shelf.data, shelf.row = shelf.data + b"torn", None
    shelf.touch()
    assert shelf.replaced == 2
    _, opened = shelf.newest()
    assert opened.document == shelf.states[0].witness.version


def test_a_row_whose_container_is_gone_is_damage():
    shelf = Shelf()
    shelf.create({}, [{"n": 0}])
    row, opened = shelf.newest()
    torn = row._replace(torn=True)
    with pytest.raises(Damaged, match="gone"):
        shelf.writer.head_record(torn, opened, opened.head, lambda _: None)


# -- generations -------------------------------------------------------------------------------------------------------


def generation(shelf: Shelf) -> int:
    return v1.parse_header(shelf.data).generation


def test_a_new_session_takes_its_generation_from_the_clock():
    shelf = Shelf()
    shelf.create({}, [])
    assert START < generation(shelf) < START + 10_000


def test_a_replacement_follows_the_generation_before_it_whatever_the_clock_says():
    shelf = Shelf()
    shelf.create({}, [])
    first = generation(shelf)
    shelf.clock.time = 0
    shelf.create({}, [])
    assert generation(shelf) == first + 1
    shelf.clock.time = START * 2
    shelf.create({}, [])
    assert generation(shelf) == first + 2


@pytest.mark.parametrize("ahead", [-(10**9), 0, 10**15])
def test_a_session_is_born_above_its_tombstone(ahead):
    shelf = Shelf()
    shelf.tombstone = IndexRowCipher(KEYRING).tombstone(shelf.key, START + ahead)
    shelf.create({}, [])
    assert generation(shelf) > shelf.tombstone.generation
    assert generation(shelf) >= START
    assert shelf.document() == ({}, [])


@pytest.mark.parametrize("claimed", [2**64 - 1, 2**64, -5, START * 2])
def test_a_forged_tombstone_moves_no_generation(claimed):
    shelf = Shelf()
    shelf.tombstone = Tombstone(shelf.key, claimed, bytes(16))
    shelf.create({}, [])
    assert START < generation(shelf) < START + 10_000


def test_a_grave_is_for_the_generation_that_was_there():
    shelf = Shelf()
    shelf.create({}, [])
    row, _ = shelf.newest()
    grave = shelf.writer.delete(row, flush=False)
    assert grave.tombstone.generation == row.generation
    assert Reader(KEYRING).rows.is_genuine(grave.tombstone)
    assert not grave.flush


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_a_body_beyond_the_bound_is_too_large():
    shelf = Shelf(largest_body=1000)
    with pytest.raises(TooLarge):
        shelf.create({"x": "y" * 1000}, [])
    shelf.create({}, [])
    with pytest.raises(TooLarge):
        shelf.append({"x": "y" * 1000})


def test_a_container_beyond_the_bound_is_too_large(monkeypatch):
    shelf = Shelf(level=None)
    shelf.create({}, [{"x": noise(3000)}])
    monkeypatch.setattr(writer, "LARGEST_CONTAINER", len(shelf.data) + 500)
    before = shelf.data
    with pytest.raises(TooLarge, match="bound"):
        shelf.append({"x": noise(3000)})
    assert shelf.data == before
    with pytest.raises(TooLarge, match="bound"):
        shelf.create({}, [{"x": noise(6000)}])


# -- what a long life costs --------------------------------------------------------------------------------------------


def lived(steps: int, step, **how) -> tuple[Shelf, int]:
    """A session after that many steps, and the bytes that these would have cost with no replacement at all."""
    shelf = Shelf(**how)
    shelf.remembers = False
    shelf.create({}, [])
    plain = len(shelf.data)
    for number in range(steps):
        before = len(shelf.data), shelf.replaced
        step(shelf, number)
        # A replacement would have been one more record: about as large as the records usually are.
        plain += len(shelf.data) - before[0] if shelf.replaced == before[1] else plain // (number + 1)
    return shelf, plain


@pytest.mark.sampled(3)
@pytest.mark.parametrize("steps", [10, 300, 3000])
@pytest.mark.parametrize("text", ["the same in every turn, so that it vanishes", None])
def test_turn_by_turn_takes_at_most_twice_the_room_and_three_times_the_writing(steps, text):
    def message(number):
        return {"n": number, "text": text or noise(150, number)}

    shelf, plain = lived(steps, lambda shelf, number: shelf.append(message(number)))
    assert shelf.written < 3 * plain
    assert shelf.replaced < 20 + steps / 20
    history = [message(number) for number in range(steps)]
    assert shelf.document() == ({}, history)
    anew = Shelf()
    anew.create({}, history)
    assert len(shelf.data) < 2 * len(anew.data) + merge_policy.APPENDED_FLOOR + 100


def test_what_merging_would_not_shrink_is_left_where_it_is():
    """A large record is as good as merged, and one that did not compress takes no less beside others."""
    large, shelf = "again and again " * (document.SEGMENT // 16), Shelf()
    shelf.create({}, [])
    for number in range(20):
        shelf.append({"n": number, "text": large})
    assert shelf.replaced == 1
    assert shelf.states[-1].head.appended == 0
    plain = Shelf(level=None)
    plain.create({}, [])
    for number in range(20):
        plain.append({"n": number, "text": noise(10_000, number)})
    assert plain.replaced == 1
    assert 0 < plain.states[-1].head.appended < merge_policy.APPENDED_FLOOR


def test_a_document_written_whole_begins_to_count_what_is_appended_anew():
    shelf = Shelf()
    shelf.create({}, [])
    shelf.append({"n": 1, "text": noise(1000)})
    before = shelf.states[-1].head.appended
    assert 500 < before < len(shelf.data)
    shelf.append({"n": 2, "text": noise(1000, 2)})
    assert shelf.states[-1].head.appended > 2 * before - 10
    shelf.save({}, [{"n": 1}])
    assert shelf.states[-1].head.appended == 0
    shelf.touch()
    shelf.merge({"k": 1})
    assert shelf.states[-1].head.appended == 0
    assert shelf.states[-1].head.dead > 2 * 100


def test_saving_costs_what_is_saved():
    shelf, plain = lived(500, lambda shelf, number: shelf.save({"n": number}, [{"x": noise(2000, number)}] * 3))
    assert shelf.written < 1.2 * plain
    assert shelf.replaced < 60
    assert shelf.document()[0] == {"n": 499}
    assert len(shelf.data) < 64 * 1024 + 20 * 3000


@pytest.mark.parametrize("size", [20, 2_000, 100_000, 400_000])
def test_updating_the_state_costs_what_is_updated_and_the_container_stays_small(size):
    steps = 500 if size < 10_000 else 40
    shelf, plain = lived(steps, lambda shelf, number: shelf.merge({"k": noise(size, number)}), level=None)
    assert shelf.written < 1.2 * plain
    assert shelf.document() == ({"k": noise(size, steps - 1)}, [])
    assert len(shelf.data) < 64 * 1024 + 600 * 600 + 7 * size


@pytest.mark.slow
def test_a_bounded_history_stays_small():
    shelf = Shelf(level=None)
    shelf.remembers = False
    shelf.create({}, [], max_messages=50)
    sizes = []
    for number in range(1500):
        shelf.append({"n": number, "text": noise(400, number)})
        sizes.append(len(shelf.data))
    assert max(sizes) < 64 * 1024 + 6 * 50 * 900
    assert shelf.written < 2 * 1500 * 850
    assert [message["n"] for message in shelf.document()[1]] == list(range(1450, 1500))


def test_talking_back_and_forth_does_not_grow():
    shelf = Shelf(level=None)
    shelf.remembers = False
    shelf.create({"a": 1}, [{"n": -1}])
    for number in range(800):
        shelf.append({"n": number, "text": noise(1000, number)})
        shelf.pop()
    assert len(shelf.data) < 120_000
    assert shelf.document() == ({"a": 1}, [{"n": -1}])


def test_touching_does_not_grow():
    shelf = Shelf()
    shelf.remembers = False
    shelf.create({"a": 1}, [{"n": -1}])
    for number in range(1200):
        shelf.touch(10**9 + number)
    assert 2 <= shelf.replaced <= 6
    assert shelf.document() == ({"a": 1}, [{"n": -1}])
    assert len(shelf.data) < merge_policy.DEAD_FLOOR + 1000


@pytest.mark.parametrize("segment", [100, 1000])
@given(
    st.lists(st.tuples(st.sampled_from(["append", "pop", "merge", "save", "touch"]), st.integers(0, 5)), max_size=25)
)
def test_a_life_with_many_replacements_agrees_with_a_plain_model(segment, steps):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document, "SEGMENT", segment)
        patch.setattr(document, "LARGE", segment // 2)
        patch.setattr(document.segments, "__kwdefaults__", {"largest": segment, "follows": False})
        patch.setattr(merge_policy, "DEAD_FLOOR", 300)
        patch.setattr(merge_policy, "APPENDED_FLOOR", 700)
        shelf = Shelf(level=None)
        shelf.create({}, [], max_messages=8)
        state: dict[str, object] = {}
        messages: list[dict[str, object]] = []
        for verb, n in steps:
            if verb == "append":
                added = [{"n": n, "text": "x" * (n * 30)} for n in range(n)]
                shelf.append(*added)
                messages = [*messages, *added][-8:]
            elif verb == "pop":
                popped = min(n, len(messages))
                shelf.pop(popped)
                messages = messages[: len(messages) - popped]
            elif verb == "merge":
                shelf.merge({f"k{n}": "v" * (n * 20)})
                state = {**state, f"k{n}": "v" * (n * 20)}
            elif verb == "save":
                state, messages = {"saved": n}, [{"n": n}] * n
                shelf.save(state, messages)
            else:
                shelf.touch()
            assert shelf.states[-1].document == (state, messages)
            assert shelf.states[-1].head.messages == len(messages)
            found = shelf.reader.tail(shelf.key, shelf.fetch, wanted=3)
            assert found is not None
            assert [payload.parse(element) for element in found[1]] == messages[-3:]


def test_a_writer_whose_backend_forgot_the_row_is_still_alone_with_the_session():
    """A backend keeps so many files open and no more, and describes anew what it let go of; that no other process
    wrote meanwhile shows in the version. A process with more sessions than files would else never merge its small
    records.
    """
    shelf = Shelf()
    shelf.create({}, [])
    for number in range(5):
        shelf.row = None
        shelf.append({"n": number})
    shelf.row = None
    assert shelf.newest()[1].run == 5
    stranger = Reader(KEYRING)
    row = stranger.describe(shelf.key, shelf.fetch, thorough=True)
    assert row is not None
    assert stranger.opened(row).run == 0
