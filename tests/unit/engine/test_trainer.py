"""Training: what it learns from, what it refuses, and that what it is said to be worth is so."""

from __future__ import annotations

import asyncio
import random

import pytest

from vaultsession import InvalidSetting, RawKey, TrainingRefused, UnknownDictionary, open_store, open_store_async
from vaultsession.engine import merge_policy, trainer
from vaultsession.engine.trainer import FEWEST_SESSIONS, SIZES
from vaultsession.format.dictionaries import SHIPPED
from vaultsession.testing.clock import ManualClock

KEY = RawKey(bytes(range(160, 192)))
TEXT = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore"
WORDS = TEXT.split()


def reply(chance: random.Random, subject: str = "weather") -> dict:
    text = " ".join(chance.choices(WORDS, k=40))
    return {"role": "assistant", "subject": subject, "content": f"The {subject} report says: {text}.", "score": 0.25}


def fill(store, count=40, subject="weather", **facts):
    chance = random.Random(subject)
    for number in range(count):
        store.create(f"{subject} {number}", messages=[reply(chance, subject) for _ in range(6)], **facts)


@pytest.fixture
def store():
    with open_store("memory://", clock=ManualClock()) as store:
        yield store


def test_records_become_as_much_smaller_as_it_says(store, monkeypatch):
    monkeypatch.setattr(merge_policy, "APPENDED_FLOOR", 1 << 30)  # records as they are, not merged
    fill(store)
    chance = random.Random(5)
    unseen = [reply(chance) for _ in range(50)]

    def grown(name):
        store.create(name)
        before = store.stats()["bytes"]
        for message in unseen:
            store.append(name, message)
        after = store.stats()["bytes"]
        assert store.messages(name) == unseen
        store.delete(name)
        return after - before

    without = grown("before")
    trained = store.train()
    assert trained.number is not None
    assert trained.number > SHIPPED
    assert (trained.sessions, trained.records) == (40, 8 * 6)
    assert trained.after < 0.6 * trained.plain
    assert trained.after < trained.before <= trained.plain
    saved = (trained.before - trained.after) / trained.records
    assert abs((without - grown("after")) / len(unseen) - saved) < 0.15 * saved


def test_a_dry_run_says_the_same_and_keeps_nothing(store):
    fill(store)
    dry = store.train(dry_run=True)
    assert dry.number is None
    again = store.train()
    assert (again.size, again.plain, again.before, again.after) == (dry.size, dry.plain, dry.before, dry.after)


def test_too_few_sessions_are_refused(store):
    fill(store, FEWEST_SESSIONS - 1)
    with pytest.raises(
        TrainingRefused, match=f"there are {FEWEST_SESSIONS - 1} sessions .* at least 8 sessions and 32768 bytes"
    ):
        store.train()
    assert store._operations._reader.dictionaries.current[0].number == SHIPPED


def test_too_little_text_is_refused(store):
    for number in range(50):
        store.create(f"{number}", messages=[{"role": "user", "content": "hello"}])
    with pytest.raises(TrainingRefused, match="there are 50 sessions"):
        store.train()


def test_an_empty_vault_is_refused(store):
    with pytest.raises(TrainingRefused, match="there are 0 sessions with 0 bytes"):
        store.train()


def test_what_gains_nothing_is_refused_and_not_kept(store):
    chance = random.Random(3)
    for number in range(20):
        store.create(f"{number}", messages=[{"x": "".join(chance.choices("0123456789abcdef", k=4000))}])
    with pytest.raises(TrainingRefused, match="nothing would be gained"):
        store.train()
    assert store._operations._reader.dictionaries.current[0].number == SHIPPED


def test_what_is_learned_once_is_not_learned_again(store):
    fill(store)
    store.train()
    with pytest.raises(TrainingRefused, match="nothing would be gained"):
        store.train()


def test_a_store_that_does_not_compress_needs_none():
    with open_store("memory://", compression="none") as store:
        fill(store)
        with pytest.raises(TrainingRefused, match="does not compress"):
            store.train()


@pytest.mark.parametrize("size", [0, -1, SIZES.start - 1, SIZES.stop, 1.5, "112", True, None])
def test_a_size_that_cannot_be_is_refused(store, size):
    with pytest.raises(
        InvalidSetting, match="a dictionary has" if size in (0, SIZES.start - 1, SIZES.stop) else "size is"
    ):
        store.train(size=size)


def test_it_is_no_larger_than_it_may_be(store):
    fill(store)
    assert store.train(size=SIZES.start, dry_run=True).size <= SIZES.start
    assert store.train(dry_run=True).size > SIZES.start


def test_it_learns_from_those_that_match_and_no_others(store):
    fill(store, subject="weather", user_id="alice")
    fill(store, subject="Botanik", user_id="bob")
    store.train(user_id="alice")
    content = store._operations._reader.dictionaries.current[0].content
    assert b"weather report" in content
    assert b"Botanik" not in content


def test_what_has_expired_teaches_nothing():
    clock = ManualClock()
    with open_store("memory://", clock=clock) as store:
        fill(store, ttl="1h")
        clock.advance("2h")
        with pytest.raises(TrainingRefused, match="there are 0 sessions"):
            store.train()


def test_of_a_long_session_its_newest_messages_are_learned(store, monkeypatch):
    monkeypatch.setattr(trainer, "_WHOLE", 20_000)
    chance = random.Random(1)
    for number in range(10):
        store.create(f"{number}", messages=[reply(chance, "dawn") for _ in range(500)])
        store.append(f"{number}", *(reply(chance, "dusk") for _ in range(500)))
    monkeypatch.setattr(trainer, "BUDGET", 0)
    trained = store.train()
    assert trained.sampled < 10 * 2 * trainer.SHARE
    assert b"dusk" in store._operations._reader.dictionaries.current[0].content
    assert b"dawn" not in store._operations._reader.dictionaries.current[0].content


def test_progress_is_told(store):
    fill(store)
    told = []
    store.train(progress=lambda done, total: told.append((done, total)))
    assert told == [(number, 40) for number in range(1, 41)]


def test_what_cannot_be_read_is_left_out_and_told(tmp_path, caplog):
    with open_store(tmp_path, key=KEY, cache_bytes=0) as store:
        fill(store)
        (path,) = tmp_path.glob("sessions/weather-7~*")
        data = bytearray(path.read_bytes())
        data[200] ^= 1
        path.write_bytes(data)
        assert store.train().sessions == 39
    assert f"nothing is learned from {path.stem}" in caplog.text
    assert "report" not in caplog.text


# -- a vault on disk ---------------------------------------------------------------------------------------------------


@pytest.fixture
def vault(tmp_path):
    """A vault with a dictionary, a session that needs it, and one that needs none of this vault's."""
    path = tmp_path / "vault"
    with open_store(path, key=KEY) as store:
        fill(store, subject="weather")
        store.create("old", messages=[reply(random.Random(0))])
        number = store.train().number
        store.create("new", messages=[reply(random.Random(1))])
    return path, number


def test_it_lies_in_the_vault_twice_and_private(vault):
    path, number = vault
    files = sorted(path.glob("dictionaries/*"))
    assert [file.name for file in files] == [f"{number}.bak", f"{number}.vsd"]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert (path / "dictionaries").stat().st_mode & 0o777 == 0o700
    assert b"weather report" not in files[0].read_bytes()


def test_whoever_opens_the_vault_later_reads_and_writes_with_it(vault):
    path, number = vault
    with open_store(path, key=KEY, cache_bytes=0) as store:
        assert store.load("new").messages == [reply(random.Random(1))]
        assert store._operations._reader.dictionaries.current[0].number == number


def test_without_it_its_sessions_are_locked_and_the_others_are_not(vault):
    path, number = vault
    kept = {file: file.read_bytes() for file in path.glob("dictionaries/*")}
    for file in kept:
        file.unlink()
    with open_store(path, key=KEY, cache_bytes=0) as store:
        assert store.load("old").messages
        sealed = next(path.glob("sessions/new~*")).read_bytes()
        for act in (
            lambda: store.load("new"),
            lambda: store.messages("new", last=1),
            lambda: store.update("new", lambda session: session.state.update(a=1)),
            lambda: store.pop("new"),
            lambda: store.clear("new"),
        ):
            with pytest.raises(UnknownDictionary, match=f"dictionary {number}.*restore it from a backup"):
                act()
        assert next(path.glob("sessions/new~*")).read_bytes() == sealed
        assert "new" in {info.id for info in store.list()}
        for file, data in kept.items():
            file.write_bytes(data)
            file.chmod(0o600)
        assert store.load("new").messages == [reply(random.Random(1))]


def test_a_session_that_is_locked_can_be_appended_to_and_replaced(vault):
    path, _ = vault
    kept = {file: file.read_bytes() for file in path.glob("dictionaries/*")}
    for file in kept:
        file.unlink()
    with open_store(path, key=KEY, cache_bytes=0) as store:
        store.append("new", {"role": "user", "content": "still there?"})
        for file, data in kept.items():
            file.write_bytes(data)
            file.chmod(0o600)
        assert store.messages("new") == [reply(random.Random(1)), {"role": "user", "content": "still there?"}]
        for file in kept:
            file.unlink()
    with open_store(path, key=KEY, cache_bytes=0) as store:
        store.save("new", messages=[{"n": 1}])
        assert store.load("new").messages == [{"n": 1}]


def test_a_store_that_does_not_compress_reads_what_others_compressed(vault):
    path, _ = vault
    with open_store(path, key=KEY, compression="none", cache_bytes=0) as store:
        assert store.load("new").messages == [reply(random.Random(1))]


def test_the_asynchronous_store_trains_too(tmp_path):
    async def training_it():
        async with await open_store_async(tmp_path, key=KEY) as store:
            for number in range(20):
                await store.create(f"{number}", messages=[reply(random.Random(number)) for _ in range(10)])
            return await store.train(size=8192)

    assert asyncio.run(training_it()).number is not None


def test_a_closed_store_does_not_train(store):
    store.close()
    with pytest.raises(RuntimeError, match="closed"):
        store.train()
