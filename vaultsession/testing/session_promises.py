"""What every backend promises about one session. Part of ``BackendContract``."""

# ruff: noqa: S101, ANN401 - these are tests, and they take whatever claims to be a backend

from __future__ import annotations

from typing import Any

import pytest

from ..errors import Conflict, Damaged
from ..format.sealed import Current, Decision, Delete, IndexRow, Query, Tombstone
from .sealer import Sealer


class SessionPromises:
    """Each method is one promise."""

    def test_nothing_is_there_at_first(self, backend: Any, scribe: Sealer) -> None:
        """Absent is None everywhere."""
        key, seen = scribe.key("a"), list[Current]()
        assert backend.head(key) is None
        assert backend.read(key) is None
        assert backend.read(key, -10, settled=True) is None
        assert backend.commit(key, seen.append).after is None
        assert seen == [None]
        assert list(backend.scan(Query())) == []
        assert backend.count(Query()) == 0

    def test_what_was_created_is_there(self, backend: Any, scribe: Sealer) -> None:
        """The head and the bytes are those that were sealed."""
        key = scribe.key("a")
        created = backend.commit(key, scribe.create(key, "hello")).after
        assert backend.head(key)[:7] == created[:7]
        assert scribe.texts(backend, key) == ["hello"]
        assert backend.read(key).size == created.size

    def test_a_slug_makes_no_other_session(self, backend: Any, scribe: Sealer) -> None:
        """Of a key the locator counts, whatever stands in front of it."""
        locator = scribe.key("a")[-32:]
        backend.commit(f"one~{locator}", scribe.create(f"one~{locator}", "hello"))
        backend.commit(f"other~{locator}", scribe.append("more"))
        for key in (locator, f"one~{locator}", f"other~{locator}"):
            assert backend.head(key).seq == 1
            assert scribe.texts(backend, key) == ["hello", "more"]
        (row,) = backend.scan(Query())
        assert row.key[-32:] == locator
        backend.commit(locator, scribe.remove(locator))
        assert backend.head(f"one~{locator}") is None
        assert backend.count(Query()) == 0

    def test_a_commit_is_shown_the_newest(self, backend: Any, scribe: Sealer) -> None:
        """Each update sees what the one before has left."""
        key, seen = scribe.key("a"), list[Current]()
        first = backend.commit(key, scribe.create(key)).after
        backend.commit(key, seen.append)
        second = backend.commit(key, scribe.append()).after
        backend.commit(key, seen.append)
        assert [row.version for row in seen if isinstance(row, IndexRow)] == [first.version, second.version]
        assert [row.torn for row in seen if isinstance(row, IndexRow)] == [False, False]

    def test_a_commit_returns_the_newest(self, backend: Any, scribe: Sealer) -> None:
        """Also when nothing was changed."""
        key, seen = scribe.key("a"), list[Current]()
        backend.commit(key, scribe.create(key))
        appended = backend.commit(key, scribe.append()).after
        assert backend.commit(key, seen.append).after.version == appended.version == backend.head(key).version

    def test_records_stand_in_the_order_of_their_commits(self, backend: Any, scribe: Sealer) -> None:
        """An append never touches what is there."""
        key = scribe.key("a")
        backend.commit(key, scribe.create(key, "0"))
        before = backend.read(key).data
        for number in range(1, 20):
            backend.commit(key, scribe.append(str(number)))
        assert scribe.texts(backend, key) == [str(number) for number in range(20)]
        assert backend.read(key).data.startswith(before)

    def test_a_replacement_leaves_nothing_of_the_old(self, backend: Any, scribe: Sealer) -> None:
        """A container of its own stands in place of the old."""
        key = scribe.key("a")
        backend.commit(key, scribe.create(key, "old"))
        backend.commit(key, scribe.append("older"))
        replaced = backend.commit(key, scribe.create(key, "new")).after
        assert scribe.texts(backend, key) == ["new"]
        assert backend.head(key).version == replaced.version
        assert backend.count(Query()) == 1

    def test_a_seal_that_raises_changes_nothing(self, backend: Any, scribe: Sealer) -> None:
        """And what it raises passes through as it is."""
        key = scribe.key("a")

        def refuse(_: Current) -> None:
            raise Conflict("someone was faster")

        with pytest.raises(Conflict, match="someone was faster"):
            backend.commit(key, refuse)
        assert backend.head(key) is None
        created = backend.commit(key, scribe.create(key)).after
        with pytest.raises(Conflict):
            backend.commit(key, refuse)
        assert backend.head(key).version == created.version
        backend.commit(key, scribe.append())
        assert scribe.texts(backend, key) == ["first", "more"]

    def test_a_record_that_does_not_follow_is_refused(self, backend: Any, scribe: Sealer) -> None:
        """No writer adds behind what is not the newest."""
        key = scribe.key("a")
        first = backend.commit(key, scribe.create(key)).after
        backend.commit(key, scribe.append())
        with pytest.raises(ValueError, match="follow"):
            backend.commit(key, lambda _: scribe.append("stale")(first))
        assert scribe.texts(backend, key) == ["first", "more"]

    def test_a_seal_may_read_its_own_session(self, backend: Any, scribe: Sealer) -> None:
        """A replacement carries over what is there."""
        key = scribe.key("a")
        backend.commit(key, scribe.create(key))
        sizes = []

        def update(newest: Current) -> Decision:
            sizes.append(backend.read(key).size)
            return scribe.append()(newest)

        backend.commit(key, update)
        assert sizes[0] < backend.read(key).size

    def test_what_was_removed_is_absent(self, backend: Any, scribe: Sealer) -> None:
        """Its tombstone is what the next commit is shown."""
        key, seen = scribe.key("a"), list[Current]()
        created = backend.commit(key, scribe.create(key)).after
        grave = backend.commit(key, scribe.remove(key)).after
        assert isinstance(grave, Tombstone)
        assert (grave.key, grave.generation) == (key, created.generation)
        assert backend.head(key) is None
        assert backend.read(key) is None
        assert list(backend.scan(Query())) == []
        backend.commit(key, seen.append)
        assert seen == [grave]

    def test_what_was_removed_can_be_created_again(self, backend: Any, scribe: Sealer) -> None:
        """Above its tombstone."""
        key = scribe.key("a")
        backend.commit(key, scribe.create(key))
        grave = backend.commit(key, scribe.remove(key)).after
        again = backend.commit(key, scribe.create(key, "again")).after
        assert again.generation > grave.generation
        assert scribe.texts(backend, key) == ["again"]
        assert [row.key for row in backend.scan(Query())] == [key]
        assert backend.commit(key, scribe.remove(key)).after.generation == again.generation

    def test_many_are_removed_each_by_itself(self, backend: Any, scribe: Sealer) -> None:
        """Those of which a grave is made, and no other; what fails for one holds up no other."""
        keys = [scribe.key(f"session {number}") for number in range(30)]
        for number, key in enumerate(keys[:-1]):
            backend.commit(key, scribe.create(key, str(number)))

        def update(key: str, newest: Current) -> Delete | None:
            if key == keys[7]:
                raise Damaged("so it is said")
            if key in keys[:5] or not isinstance(newest, IndexRow):
                return None
            return Delete(scribe.reader.rows.tombstone(key, newest.generation))

        outcomes = backend.delete_many([*keys, keys[6]], update)
        assert outcomes.keys() == set(keys)
        assert isinstance(outcomes[keys[7]], Damaged)
        assert outcomes[keys[-1]] == (None, None, None, None)
        kept = [*keys[:5], keys[7]]
        for number, key in enumerate(keys[:-1]):
            assert scribe.texts(backend, key) == ([str(number)] if key in kept else None)
            seen = list[Current]()
            backend.commit(key, seen.append)
            assert isinstance(seen[-1], IndexRow if key in kept else Tombstone)
            assert key == keys[7] or seen[-1] == outcomes[key].after
        assert sorted(row.key for row in backend.scan(Query())) == sorted(kept)
        assert backend.delete_many([], update) == {}

    def test_a_read_gives_what_was_asked_for(self, backend: Any, scribe: Sealer) -> None:
        """The header always; the bytes from an offset on, or that many at the end."""
        key = scribe.key("a")
        backend.commit(key, scribe.create(key))
        row = backend.commit(key, scribe.append()).after
        whole = backend.read(key)
        assert (len(whole.header), whole.offset, whole.size) == (80, 80, row.size)
        for start in (0, 1, 80, 100, -1, -50, -row.size, -10 * row.size):
            part = backend.read(key, start)
            expected = max(80, row.size + start if start < 0 else start)
            assert (part.header, part.offset, part.size) == (whole.header, expected, row.size)
            assert part.data == whole.data[expected - 80 :]

    def test_a_settled_read_is_a_read(self, backend: Any, scribe: Sealer) -> None:
        """Where no writer is at work, it is the same."""
        key = scribe.key("a")
        backend.commit(key, scribe.create(key))
        assert backend.read(key, settled=True).data == backend.read(key).data

    def test_sessions_do_not_touch_each_other(self, backend: Any, scribe: Sealer) -> None:
        """Each key is its own."""
        keys = [scribe.key(f"session {number}") for number in range(100)]
        for number, key in enumerate(keys):
            backend.commit(key, scribe.create(key, str(number)))
        backend.commit(keys[3], scribe.append("x"))
        backend.commit(keys[4], scribe.remove(keys[4]))
        for number, key in enumerate(keys):
            expected = {3: ["3", "x"], 4: None}.get(number, [str(number)])
            assert scribe.texts(backend, key) == expected

    def test_unflushed_commits_are_there(self, backend: Any, scribe: Sealer) -> None:
        """Flushing is about power cuts."""
        key = scribe.key("a")
        backend.commit(key, scribe.create(key, flush=False))
        backend.commit(key, scribe.append(flush=False))
        backend.commit(key, scribe.append("flushed"))
        assert scribe.texts(backend, key) == ["first", "more", "flushed"]
        backend.commit(key, scribe.remove(key, flush=False))
        assert backend.head(key) is None

    def test_a_large_record_comes_back(self, backend: Any, scribe: Sealer) -> None:
        """Nothing is cut."""
        key, text = scribe.key("a"), "long " * 1_000_000
        backend.commit(key, scribe.create(key))
        backend.commit(key, scribe.append(text))
        assert scribe.texts(backend, key) == ["first", text]
