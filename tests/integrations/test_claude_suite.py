"""The SDK's own tests of stores, over a VaultSessionStore where they make an InMemorySessionStore."""

from __future__ import annotations

from pathlib import Path

import pytest
from foreign_suite import run_suite, source_of
from frameworks import require

require("claude_agent_sdk")

LOOP = "counts turns of the event loop in which a store has to be done, and files are written in a thread"
TIMES = "puts times into a private field of InMemorySessionStore"

EXPECTED = {
    "test_continue_picks_most_recent": TIMES,
    "test_continue_skips_sidechain_sessions": TIMES,
    "test_continue_tie_break_is_deterministic": TIMES,
}
LEFT_OUT = {
    "test_gap_fill_bounded_concurrency": LOOP,
    "test_load_concurrency_is_bounded": LOOP,
    "test_cancelled_after_mkdtemp_cleans_temp_dir": LOOP,
    "test_eager_flush_mode_appends_per_frame_before_result": LOOP,
}

PATHS = (
    "tests/test_session_store_conformance.py",
    "tests/test_session_store_anyio.py",
    "tests/test_session_summary.py",
    "tests/test_session_import.py",
    "tests/test_session_resume.py",
    "tests/test_session_helpers_store.py",
    "tests/test_transcript_mirror.py",
)


@pytest.mark.slow
def test_their_tests_pass_over_a_vault(tmp_path: Path) -> None:
    source = source_of("claude-agent-sdk", tmp_path)
    reaimed = Path(__file__).with_name("reaimed_claude.py")
    passed, failed = run_suite(
        source, PATHS, reaimed=reaimed, expected=EXPECTED, left_out=LEFT_OUT, ini="addopts = -p anyio\n"
    )
    assert (passed > 350, failed) == (True, 6)
