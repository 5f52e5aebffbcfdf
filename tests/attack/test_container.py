"""An attacker who writes the file without a key causes an error or an older state of the session, never other data."""

from __future__ import annotations

import struct
from functools import cache

import orjson
import pytest
import zstandard
from effort import some
from hypothesis import given
from hypothesis import strategies as st
from sampling import sampled
from shelf import KEYRING, Shelf, State, consume, container

from vaultsession.engine.reader import Reader
from vaultsession.errors import Damaged, RollbackDetected, TooLarge, UnknownKey, Unreadable, UnsupportedFormat
from vaultsession.format import ContainerCipher, IndexRowCipher, record
from vaultsession.format.document import parse
from vaultsession.format.head import Head, encode
from vaultsession.format.ids import locator_of
from vaultsession.format.keys import MasterKey
from vaultsession.format.sealed import Witness

# -- the session under attack ------------------------------------------------------------------------------------------


def live(shelf: Shelf) -> Shelf:
    """A life in one container: FULL, DELTAs of every kind, a HEAD, FULL again, and on."""
    shelf.create({"a": 1, "b": 2}, [{"n": 0}, {"n": 1}], max_messages=4, title="T")
    shelf.append({"n": 2})
    shelf.merge({"a": "merged"})
    shelf.append({"n": 3}, {"n": 4})
    shelf.pop(2)
    shelf.touch()
    shelf.append({"n": 5, "text": "again and again " * 20})
    shelf.save({"a": "saved"}, [{"n": 2}, {"n": 6}])
    shelf.append({"n": 7})
    shelf.touch()
    shelf.append({"n": 8})
    assert shelf.replaced == 1
    return shelf


@cache
def victim() -> Shelf:
    return live(Shelf())


def records(data: bytes) -> list[bytes]:
    return [data[found.offset : found.end] for found in record.records_from(container(data), 80)]


def built(shelf: Shelf, parts: list[bytes]) -> bytes:
    return shelf.data[:80] + b"".join(parts)


def agree(seen, state: State, *, torn: bool) -> None:
    """All three consumers see that state."""
    described, loaded, newest = seen
    assert (described.witness, described.size, described.torn) == (state.witness, state.size, torn)
    assert loaded == (state.head, *state.document)
    assert newest[0].head == state.head
    assert [orjson.loads(element) for element in newest[1]] == state.document[1][-2:]


def refuse(seen, error: type[Exception]) -> None:
    """All three consumers raise just that."""
    assert [type(result) for result in seen] == [error] * 3


def never_other(seen, states: list[State], *, wanted: int = 2) -> None:
    """Each consumer raises or sees a state that the session was in."""
    described, loaded, newest = seen
    assert isinstance(described, Unreadable) or described.witness in [state.witness for state in states]
    assert isinstance(loaded, Unreadable) or loaded in [(state.head, *state.document) for state in states]
    assert isinstance(newest, Unreadable) or (newest[0].head, [orjson.loads(element) for element in newest[1]]) in [
        (state.head, state.document[1][-wanted:]) for state in states
    ]


def test_the_victim_reads_as_it_was_written():
    shelf = victim()
    assert len(records(shelf.data)) == len(shelf.states) == 11
    agree(consume(shelf.key, shelf.data), shelf.states[-1], torn=False)
    assert shelf.states[-1].document == ({"a": "saved"}, [{"n": n} for n in (2, 6, 7, 8)])
    kinds = [found.kind for found in record.records_from(container(shelf.data), 80)]
    assert kinds == [
        record.FULL,
        *[record.DELTA] * 4,
        record.HEAD,
        record.DELTA,
        record.FULL,
        record.DELTA,
        record.HEAD,
        record.DELTA,
    ]


# -- cuts --------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("witnessed", sampled([None, 0, 4, 10], [4]))
def test_every_truncation_recovers_the_last_whole_record_or_says_what_is_gone(witnessed):
    shelf = victim()
    witness = None if witnessed is None else shelf.states[witnessed].witness
    for cut in range(len(shelf.data) + 1):
        seen = consume(shelf.key, shelf.data[:cut], witness=witness)
        whole_ones = [state for state in shelf.states if state.size <= cut]
        if not whole_ones:
            refuse(seen, Damaged)
            continue
        newest = whole_ones[-1]
        if witness is not None and newest.witness < witness:
            refuse(seen, RollbackDetected if cut == newest.size else Damaged)
        else:
            agree(seen, newest, torn=cut != newest.size)


@pytest.mark.parametrize("tail", [b"\0", b"x" * 7, bytes(8), bytes(56), bytes(5000), b"\xff" * 200])
def test_what_is_appended_without_the_key_is_a_torn_tail(tail):
    shelf = victim()
    for witness in (None, shelf.witness, shelf.states[-1].witness):
        agree(consume(shelf.key, shelf.data + tail, witness=witness), shelf.states[-1], torn=True)


@pytest.mark.parametrize("size", [0, 1, 79])
def test_a_file_without_a_header_is_damaged(size):
    refuse(consume(victim().key, bytes(size)), Damaged)
    refuse(consume(victim().key, victim().data[:size]), Damaged)


# -- flips -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("witnessed", "every"),
    [(False, 9), pytest.param(False, 1, marks=pytest.mark.slow), pytest.param(True, 1, marks=pytest.mark.slow)],
)
def test_a_flipped_bit_in_any_byte_is_an_error_or_ends_the_prefix_before_it(witnessed, every):
    """The quick part flips one byte in nine, other ones in each run."""
    shelf = victim()
    last = shelf.states[-1]
    begins = [80, *(state.size for state in shelf.states)]
    for place in some(range(len(shelf.data)), every):
        flipped = bytearray(shelf.data)
        flipped[place] ^= 1 << place % 8
        seen = consume(shelf.key, bytes(flipped), witness=last.witness if witnessed else None)
        never_other(seen, [last] if witnessed else shelf.states)
        never_other(consume(shelf.key, bytes(flipped), thorough=False), shelf.states)
        described, loaded, _ = seen
        if place < 80:
            assert all(isinstance(result, Unreadable) for result in seen)
        elif place >= last.head.full:  # alive: load reads it
            if witnessed:
                assert isinstance(loaded, Damaged)
            else:
                before = [state for state in shelf.states if state.size <= place][-1]
                assert loaded == (before.head, *before.document)
                # Without a witness a writer proves every living body before it writes behind it.
                assert (described.witness, described.torn) == (before.witness, True)
        else:  # dead: it is not read, but for the link that the FULL follows
            assert place >= begins[7] - 24 or loaded == (last.head, *last.document)


# -- records dropped, doubled, swapped, spliced ------------------------------------------------------------------------


def prefix(shelf: Shelf, data: bytes, count: int) -> None:
    """The first ``count`` records are what is left, and a witness of more says so.

    A reader of the tail alone, or one that trusts the witness for what lies below it, may not come as far as the
    damage: what it then sees is the newest state, which is authentic. Unless records were moved: they open only where
    they were written.
    """
    last = shelf.states[-1]
    unseen = [last] if len(data) == len(shelf.data) else []
    alive = last.head.full - 24  # the newest FULL, and the link in front of it
    if len(data) == len(shelf.data) and data[alive:] == shelf.data[alive:]:
        agree(consume(shelf.key, data), last, torn=False)  # what is dead was changed: it is not read
        return
    seen = consume(shelf.key, data, wanted=10)
    if count == 0:
        assert type(seen.described) is type(seen.loaded) is Damaged
        never_other(seen, unseen, wanted=10)
        return
    state = shelf.states[count - 1]
    torn = len(data) > state.size
    assert (seen.described.witness, seen.described.size, seen.described.torn) == (state.witness, state.size, torn)
    assert seen.loaded == (state.head, *state.document)
    never_other(seen, [state, *unseen], wanted=10)
    if count < len(shelf.states):
        seen = consume(shelf.key, data, witness=last.witness, wanted=10)
        assert isinstance(seen.loaded, Damaged)
        never_other(seen, unseen, wanted=10)


@pytest.mark.parametrize("place", range(11))
def test_a_dropped_record_ends_the_chain_before_it(place):
    parts = records(victim().data)
    prefix(victim(), built(victim(), parts[:place] + parts[place + 1 :]), place)


@pytest.mark.parametrize("place", range(11))
def test_a_doubled_record_ends_the_chain_behind_it(place):
    parts = records(victim().data)
    prefix(victim(), built(victim(), parts[: place + 1] + parts[place:]), place + 1)


@pytest.mark.parametrize("one", range(11))
def test_swapped_records_end_the_chain_before_the_first(one):
    for other in range(one + 1, 11):
        parts = records(victim().data)
        parts[one], parts[other] = parts[other], parts[one]
        prefix(victim(), built(victim(), parts), one)


@pytest.mark.parametrize("place", range(8))
def test_records_that_were_moved_do_not_open(place):
    """A copy of the record before the newest FULL, in front of all, moved that very record to where the FULL had begun.

    Links, seqs and heads all fitted, and the document was read from there.
    """
    parts = records(victim().data)
    for moved in ([parts[6], *parts], [*parts[:place], parts[6], *parts[place:]], [parts[place], *parts]):
        prefix(victim(), built(victim(), moved), _same(moved, parts))


def _same(moved: list[bytes], parts: list[bytes]) -> int:
    return next((number for number, part in enumerate(parts) if moved[number] != part), len(parts))


def relatives() -> dict[str, Shelf]:
    other_vault = KEYRING._replace(vault_id=bytes(16))
    other_key = KEYRING._replace(masters=(MasterKey(b"master-9", bytes(32)), *KEYRING.masters))
    return {
        "another session": live(Shelf("another session")),
        "another generation": live(Shelf()),
        "another vault": live(Shelf(keyring=other_vault)),
        "another key": live(Shelf(keyring=other_key)),
    }


@pytest.mark.parametrize("name", ["another session", "another generation", "another vault", "another key"])
def test_records_of_another_container_end_the_chain(name):
    other = relatives()[name]
    mine, theirs = records(victim().data), records(other.data)
    for place in range(11):
        prefix(victim(), built(victim(), [*mine[:place], theirs[place], *mine[place + 1 :]]), place)
        prefix(victim(), built(victim(), [*mine[:place], *theirs[place:]]), place)


def test_a_container_under_the_name_of_another_session_is_damaged():
    refuse(consume(victim().key, live(Shelf("another session")).data), Damaged)


def test_a_container_of_another_vault_is_damaged():
    other = live(Shelf(keyring=KEYRING._replace(vault_id=bytes(16))))
    refuse(consume(victim().key, other.data), Damaged)


def test_a_container_under_a_key_that_is_not_held_is_locked_and_not_damaged():
    refuse(consume(victim().key, victim().data, keyring=KEYRING._replace(masters=KEYRING.masters[1:])), UnknownKey)


def test_a_foreign_slug_in_front_of_the_locator_changes_nothing():
    agree(consume("other~" + locator_of(victim().key), victim().data), victim().states[-1], torn=False)


# -- forks -------------------------------------------------------------------------------------------------------------


def forked() -> tuple[Shelf, bytes, State]:
    """A container that went on in two ways from one point, as after a restored backup; records of one length."""
    shelf = Shelf()
    shelf.create({}, [{"n": 0}])
    shelf.append({"n": 1})
    before, row = shelf.data, shelf.row
    shelf.append({"n": 2, "branch": "abandoned"})
    abandoned, state = shelf.data, shelf.states.pop()
    shelf.data, shelf.row = before, row
    shelf.append({"n": 2, "branch": "continued"})
    assert len(shelf.data) == len(abandoned)
    shelf.append({"n": 3})
    return shelf, abandoned, state


def test_an_abandoned_record_in_front_of_the_newest_ends_the_chain():
    shelf, abandoned, state = forked()
    spliced = abandoned + shelf.data[len(abandoned) :]
    agree(consume(shelf.key, spliced), state, torn=True)
    for known in shelf.states[2:]:
        refuse(consume(shelf.key, spliced, witness=known.witness), Damaged)


def test_a_body_of_the_abandoned_branch_does_not_fit_the_head_of_the_other():
    shelf, abandoned, _ = forked()
    mine, theirs = records(shelf.data), records(abandoned)
    (frame, body) = struct.unpack_from("<I", theirs[2], 4)[0], 32
    mixed = mine[2][:body] + theirs[2][body : body + frame] + mine[2][body + frame :]
    agree(consume(shelf.key, built(shelf, [*mine[:2], mixed])), shelf.states[1], torn=True)


def test_the_other_branch_is_a_fork_for_whoever_acknowledged_this_one():
    shelf, abandoned, _ = forked()
    refuse(consume(shelf.key, abandoned, witness=shelf.states[2].witness), Damaged)


def test_a_longer_other_branch_is_a_fork_for_whoever_reads_as_far_back():
    shelf, _, state = forked()
    described, loaded, newest = consume(shelf.key, shelf.data, witness=state.witness, wanted=4)
    assert isinstance(loaded, Damaged)
    assert isinstance(newest, Damaged)
    assert isinstance(described, Damaged)
    assert "forked" in str(loaded)


# -- headers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "value", "error"),
    [
        (0, b"VSF2", Damaged),
        (4, b"\x02", UnsupportedFormat),
        (5, b"\x02", Damaged),
        (5, b"\x03", Damaged),
        (5, b"\x09", UnsupportedFormat),
        (6, b"\x01", Damaged),
        (6, b"\x03", UnsupportedFormat),
        (8, b"master-0", Damaged),
        (8, b"master-7", UnknownKey),
        (16, bytes(8), Damaged),
        (16, b"\xff" * 8, Damaged),
        (24, bytes(24), Damaged),
        (48, bytes(32), Damaged),
    ],
    ids=repr,
)
def test_an_edited_header_is_refused(at, value, error):
    data = victim().data
    refuse(consume(victim().key, data[:at] + value + data[at + len(value) :]), error)


def test_a_header_of_another_generation_does_not_fit_these_records():
    other = live(Shelf())
    refuse(consume(victim().key, other.data[:80] + victim().data[80:]), Damaged)


# -- lengths and footers -----------------------------------------------------------------------------------------------

HOSTILE = [0, 1, 15, 16, 17, 16 * 1024, 16 * 1024 + 1, 2**24, 2**27, 2**31 - 1, 2**31, 2**32 - 1]


@pytest.mark.parametrize("field", [0, 4])
@pytest.mark.parametrize("size", HOSTILE)
def test_a_record_that_claims_another_length_ends_the_chain_before_it(field, size):
    shelf = victim()
    for place in range(11):
        parts = records(shelf.data)
        if struct.unpack_from("<I", parts[place], field)[0] == size:
            continue
        parts[place] = parts[place][:field] + struct.pack("<I", size) + parts[place][field + 4 :]
        prefix(shelf, built(shelf, parts), place)


@cache
def long_victim() -> Shelf:
    """Longer than the bytes that are read at first, and more of it dead than alive."""
    shelf = Shelf(level=None)
    noise = "0123456789abcdef" * 1250
    shelf.create({}, [{"x": noise}])
    for number in range(9):
        shelf.append({"n": number, "x": noise})
    shelf.save({}, [{"n": number, "x": noise} for number in range(3)])
    shelf.append({"n": 10})
    shelf.append({"x": noise[:3000]})
    assert shelf.replaced == 1
    assert len(shelf.data) > 250_000
    return shelf


@pytest.mark.slow
def test_a_footer_may_point_anywhere():
    shelf = long_victim()
    states = shelf.states
    starts = [80, *(state.size for state in states)]
    for end in starts[-4:]:
        for start in starts:
            for off in (-31, -1, 0, 1, 8, 33):
                size = (end - start + off) & 0xFFFFFFFF
                forged = bytearray(shelf.data)
                forged[end - 8 : end] = struct.pack("<II", size, size ^ 0xFFFFFFFF)
                if forged == shelf.data:
                    continue
                never_other(consume(shelf.key, bytes(forged), wanted=2), states)
                never_other(consume(shelf.key, bytes(forged), wanted=2, witness=states[-1].witness), states[-1:])


def test_every_cut_of_a_long_container_near_a_border_recovers_the_last_whole_record():
    shelf = long_victim()
    for state in shelf.states:
        for cut in range(state.size - 3, state.size + 4):
            found = [one for one in shelf.states if one.size <= min(cut, len(shelf.data))]
            if found and cut <= len(shelf.data):
                agree(consume(shelf.key, shelf.data[:cut]), found[-1], torn=cut != found[-1].size)


@given(st.binary(max_size=400))
def test_noise_behind_an_authentic_header_is_damage(noise):
    refuse(consume(victim().key, victim().data[:80] + noise), Damaged)


# -- what only a holder of the keys could have written -----------------------------------------------------------------


def forged_by_a_holder(body: bytes, *, codec: int = 0, kind: int = record.FULL, head: bytes | None = None) -> bytes:
    cipher = ContainerCipher.create(KEYRING, locator_of(victim().key), generation=5)
    plain = encode(Head("a session", 1, 2, full=80, records=1, messages=1)) if head is None else head
    return cipher.header + cipher.seal(kind, 0, 80, record.first_link(cipher.header), plain, codec=codec, body=body)


def bomb(declared: int) -> bytes:
    """A frame of a megabyte of zeros in a few bytes, that declares another size."""
    frame = zstandard.ZstdCompressor(level=1, write_content_size=False).compress(bytes(1 << 20))
    descriptor = 0xC0 | (frame[4] & 0x3F)
    window = b"" if descriptor & 0x20 else frame[5:6]
    return frame[:4] + bytes([descriptor]) + window + declared.to_bytes(8, "little") + frame[6:]


@pytest.mark.parametrize(
    "body",
    [bomb(1 << 40), bomb((1 << 64) - 2), zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 20))],
    ids=["a terabyte", "all there is", "unknown"],
)
def test_a_bomb_is_refused_before_it_is_inflated(body):
    data = forged_by_a_holder(body, codec=1)
    assert len(data) < 1000
    reader = Reader(KEYRING)
    with pytest.raises(TooLarge):
        reader.load(victim().key, lambda start: container(data, start))
    with pytest.raises(TooLarge):
        reader.tail(victim().key, lambda start: container(data, start), wanted=1)


def test_a_bomb_within_the_declared_bound_is_inflated_no_further():
    data = forged_by_a_holder(bomb(1000), codec=1)
    _, loaded, newest = consume(victim().key, data)
    assert isinstance(loaded, Damaged)
    assert isinstance(newest, Damaged)


def test_the_bound_of_a_body_is_a_setting():
    data = forged_by_a_holder(b"[{}," + b"0" * 100 + b"]")
    with pytest.raises(TooLarge):
        Reader(KEYRING, largest_body=100).load(victim().key, lambda start: container(data, start))


# -- the verdicts ------------------------------------------------------------------------------------------------------

CLEAN, TORN, ABSENT = "clean", "torn", "absent"
SECOND, THIRD = 1, 2


def known(offset: tuple[int, int], version: bytes | None = None) -> Witness:
    """A witness relative to the third state of the victim."""
    at = victim().states[THIRD].witness
    return Witness(at.generation + offset[0], at.seq + offset[1], version or at.version)


def at_third(tail: bytes = b"") -> bytes:
    return victim().data[: victim().states[THIRD].size] + tail


VERDICTS = {
    "clean: nothing is known": (b"", lambda: None, CLEAN),
    "clean: at the witness": (b"", lambda: known((0, 0)), CLEAN),
    "clean: after the witness": (b"", lambda: victim().states[SECOND].witness, CLEAN),
    "clean: a generation after the witness": (b"", lambda: known((-1, 90)), CLEAN),
    "torn, not witnessed: nothing is known": (b"torn", lambda: None, TORN),
    "torn, not witnessed: at the witness": (b"torn", lambda: known((0, 0)), TORN),
    "torn, not witnessed: after the witness": (b"torn", lambda: victim().states[SECOND].witness, TORN),
    "torn, not witnessed: a generation after": (b"torn", lambda: known((-1, 90)), TORN),
    "acknowledged data damaged": (b"torn", lambda: victim().states[THIRD + 1].witness, Damaged),
    "acknowledged data damaged, of a later generation": (b"torn", lambda: known((1, 0)), Damaged),
    "rolled back by a record": (b"", lambda: victim().states[THIRD + 1].witness, RollbackDetected),
    "rolled back by a generation": (b"", lambda: known((1, 0)), RollbackDetected),
    "fork at the newest": (b"", lambda: known((0, 0), bytes(16)), Damaged),
    "fork at the newest, torn": (b"torn", lambda: known((0, 0), bytes(16)), Damaged),
    "fork below the newest": (b"", lambda: known((0, -1), bytes(16)), Damaged),
    "fork below the newest, torn": (b"torn", lambda: known((0, -1), bytes(16)), Damaged),
}


@pytest.mark.parametrize(("tail", "witness", "verdict"), VERDICTS.values(), ids=VERDICTS.keys())
def test_the_verdict_is_that_of_the_table(tail, witness, verdict):
    seen = consume(victim().key, at_third(tail), witness=witness(), wanted=4)
    if verdict in (CLEAN, TORN):
        described, loaded, newest = seen
        state = victim().states[THIRD]
        assert (described.witness, described.torn) == (state.witness, verdict is TORN)
        assert loaded == (state.head, *state.document)
        assert newest[0].head == state.head
    else:
        refuse(seen, verdict)


GRAVES = {
    "of this generation": (0, "", ABSENT),
    "of a later generation": (1, "", ABSENT),
    "of an earlier generation": (-1, "", CLEAN),
    "forged": (0, "mac", CLEAN),
    "of another session": (0, "key", CLEAN),
    "of another vault": (0, "vault", CLEAN),
}


@pytest.mark.parametrize(("later", "forgery", "verdict"), GRAVES.values(), ids=GRAVES.keys())
@pytest.mark.parametrize("tail", [b"", b"torn"])
def test_a_genuine_tombstone_at_or_above_the_generation_means_absent(later, forgery, verdict, tail):
    generation = victim().states[0].witness.generation + later
    keyring = KEYRING._replace(vault_id=bytes(16)) if forgery == "vault" else KEYRING
    tombstone = IndexRowCipher(keyring).tombstone("0" * 32 if forgery == "key" else victim().key, generation)
    if forgery == "mac":
        tombstone = tombstone._replace(mac=bytes(16))
    seen = consume(victim().key, at_third(tail), tombstone=tombstone)
    if verdict == ABSENT:
        assert seen == (None, None, None)
    else:
        agree(seen, victim().states[THIRD], torn=bool(tail))


def test_a_spoiled_container_reads_and_is_not_extended():
    shelf = live(Shelf())
    state, before = shelf.states[-1], shelf.replaced
    shelf.spoiled, shelf.row = True, None
    row = shelf.reader.describe(shelf.key, shelf.fetch, thorough=True)
    assert row is not None
    assert (row.torn, row.witness) == (True, state.witness)
    shelf.append({"n": 9})
    assert shelf.replaced == before + 1


# -- a reader that has read it before ----------------------------------------------------------------------------------


def test_what_is_known_is_extended_only_by_what_follows_it():
    shelf = victim()
    every = [shelf.data[: state.size] for state in shelf.states]
    forks, _, _ = forked()
    others = [shelf.data + b"torn", shelf.data[:-1], forks.data, live(Shelf()).data]
    parts = records(shelf.data)
    others += [built(shelf, parts[:place] + parts[place + 1 :]) for place in range(1, 11)]
    for seen_before in every:
        for now in every + others:
            reader = Reader(KEYRING)
            known_one = reader.load(shelf.key, lambda start, data=seen_before: container(data, start))
            try:
                loaded = reader.load(shelf.key, lambda start, data=now: container(data, start), known_one)
            except Damaged:
                assert now in others
                continue
            assert loaded is not None
            fresh = Reader(KEYRING).load(shelf.key, lambda start, data=now: container(data, start))
            assert loaded == fresh


MUTATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("cut"), st.integers(0, 4000)),
        st.tuples(st.just("flip"), st.integers(0, 4000), st.integers(0, 7)),
        st.tuples(st.just("zero"), st.integers(0, 4000), st.integers(1, 600)),
        st.tuples(st.just("insert"), st.integers(0, 4000), st.binary(min_size=1, max_size=80)),
        st.tuples(st.just("remove"), st.integers(0, 4000), st.integers(1, 400)),
        st.tuples(st.just("move"), st.integers(0, 10), st.integers(0, 10)),
        st.tuples(st.just("copy"), st.integers(0, 10), st.integers(0, 10)),
        st.tuples(st.just("splice"), st.integers(0, 10), st.integers(0, 10)),
        st.tuples(
            st.just("foreign header"),
        ),
    ),
    min_size=1,
    max_size=4,
)


@cache
def stranger() -> Shelf:
    return live(Shelf())


def mutate(data: bytes, verb: str, *where) -> bytes:  # noqa: PLR0911 - one return for each kind
    if verb == "cut":
        return data[: where[0]]
    if verb == "flip" and where[0] < len(data):
        return data[: where[0]] + bytes([data[where[0]] ^ 1 << where[1]]) + data[where[0] + 1 :]
    if verb == "zero":
        return data[: where[0]] + bytes(len(data[where[0] : where[0] + where[1]])) + data[where[0] + where[1] :]
    if verb == "insert":
        return data[: where[0]] + where[1] + data[where[0] :]
    if verb == "remove":
        return data[: where[0]] + data[where[0] + where[1] :]
    if verb == "foreign header":
        return stranger().data[:80] + data[80:]
    parts = records(data)
    if verb in ("move", "copy", "splice") and where[0] < len(parts):
        part = records(stranger().data)[where[0]] if verb == "splice" else parts[where[0]]
        if verb == "move":
            del parts[where[0]]
        return data[:80] + b"".join([*parts[: where[1]], part, *parts[where[1] :]])
    return data


@given(MUTATIONS, st.none() | st.integers(0, 10), st.integers(0, 10))
def test_no_sequence_of_mutations_gives_a_document_that_never_was(mutations, witnessed, known_before):
    shelf = victim()
    data = shelf.data
    for mutation in mutations:
        data = mutate(data, *mutation)
    witness = None if witnessed is None else shelf.states[witnessed].witness
    states = shelf.states if witnessed is None else shelf.states[witnessed:]
    if data[:80] == stranger().data[:80]:  # a whole other life of the same session, made by holders of the keys
        states = [*states, *stranger().states]
    for thorough in (True, False):
        never_other(consume(shelf.key, data, witness=witness, thorough=thorough), states)
    reader = Reader(KEYRING)
    before = reader.load(shelf.key, lambda start: container(shelf.data[: shelf.states[known_before].size], start))
    try:
        loaded = reader.load(shelf.key, lambda start: container(data, start, witness), before)
    except Unreadable:
        return
    assert loaded is not None
    assert (loaded.head, parse(loaded.bodies)) in [(state.head, state.document) for state in states]
