"""Sessions of Strands' files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vaultsession import open_store
from vaultsession.admin.importers import ImportedSession, Skipped, place, read

TIME = "2026-01-02T12:00:0{}+00:00"


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")


def message(text: str, number: int, second: int) -> dict[str, Any]:
    said = {"role": "user", "content": [{"text": text}]}
    return {"message": said, "message_id": number, "redact_message": None, "created_at": TIME.format(second)}


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    one = tmp_path / "sessions" / "session_one"
    write(one / "session.json", {"session_id": "one", "session_type": "AGENT", "created_at": TIME.format(0)})
    write(one / "agents" / "agent_a" / "agent.json", {"agent_id": "a", "state": {"x": 1}, "updated_at": TIME.format(9)})
    write(one / "agents" / "agent_b" / "agent.json", {"agent_id": "b", "state": {}})
    for number in range(11):
        write(one / "agents" / "agent_a" / "messages" / f"message_{number}.json", message(f"a{number}", number, 3))
    write(one / "agents" / "agent_b" / "messages" / "message_0.json", message("b0", 0, 1))
    write(one / "multi_agents" / "multi_agent_m" / "multi_agent.json", {"id": "m"})
    write(tmp_path / "sessions" / "session_two" / "session.json", {"session_id": "t/wo", "session_type": "AGENT"})
    return tmp_path / "sessions"


def found(source: Path, format: str = "auto", **how: Any) -> tuple[dict[str, ImportedSession], list[Skipped]]:
    everything = list(read(str(source), format, **how))
    skipped = [each for each in everything if isinstance(each, Skipped)]
    return {each.id: each for each in everything if isinstance(each, ImportedSession)}, skipped


@pytest.mark.parametrize("format", ["auto", "strands"])
def test_a_session_is_one_with_all_its_agents(sessions: Path, format: str) -> None:
    records, skipped = found(sessions, format)
    assert skipped == []
    assert list(records) == ["one", "t%2Fwo"]
    one = records["one"]
    assert [each["message"]["content"][0]["text"] for each in one.messages] == ["b0", *(f"a{n}" for n in range(11))]
    assert [(each["agent_id"], each["message_id"]) for each in one.messages[:2]] == [("b", 0), ("a", 0)]
    assert one.state.keys() == {"session", "agent:a", "agent:b", "multi_agent:m"}
    assert (one.updated or 0) - (one.created or 0) == 9_000_000


def test_the_folder_of_one_session_may_be_named(sessions: Path) -> None:
    assert list(found(sessions / "session_one")[0]) == ["one"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("agents/agent_a/messages/message_3.json", "{", "not JSON"),
        ("agents/agent_a/messages/message_3.json", {"text": "x"}, "no message"),
        ("agents/agent_a/messages/message_x.json", {}, "no file that Strands writes"),
        ("agents/agent_a/agent.json", [], "a list"),
        ("session.json", {}, "no session_id"),
    ],
)
def test_a_file_that_cannot_be_read_leaves_its_session_out(
    sessions: Path, name: str, content: Any, reason: str
) -> None:
    write(sessions / "session_one" / name, content)
    records, (skipped,) = found(sessions)
    assert list(records) == ["t%2Fwo"]
    assert reason in skipped.reason
    assert "session_one" in skipped.place


def test_leniently_the_rest_is_taken_and_the_gap_marked(sessions: Path) -> None:
    write(sessions / "session_one" / "agents" / "agent_a" / "messages" / "message_3.json", "{")
    records, (skipped,) = found(sessions, lenient=True)
    assert len(records["one"].messages) == 11
    assert "message_3.json" in skipped.place
    assert records["one"].state["import_gaps"][0]["where"] == "agents/agent_a/messages/message_3.json"


def test_links_are_not_followed(sessions: Path, tmp_path: Path) -> None:
    write(tmp_path / "secret.json", message("secret", 20, 5))
    link = sessions / "session_one" / "agents" / "agent_a" / "messages" / "message_20.json"
    link.symlink_to(tmp_path / "secret.json")
    records, skipped = found(sessions)
    assert "one" not in records
    assert all("link" in each.reason for each in skipped)


def test_another_file_is_none_of_strands(tmp_path: Path) -> None:
    write(tmp_path / "a.json", {"messages": []})
    assert [each.reason for each in found(tmp_path, "strands")[1]] == ["no file of a session of Strands"]


def test_they_are_placed(sessions: Path) -> None:
    with open_store("memory://") as store:
        for each in found(sessions)[0].values():
            place(store, each)
        assert store.info("one").message_count == 12
