"""The SDK's own tests of sessions, over a VaultSession where they make a SQLiteSession."""

from __future__ import annotations

from pathlib import Path

import pytest
from foreign_suite import run_suite, source_of
from frameworks import require

require("agents")
require("pytest_asyncio")

CONNECTIONS = "reaches into the connections of SQLiteSession"
CORRUPT = "writes corrupt rows through a private connection; here damage is raised"
PRIVATE_POP = "SQLiteSession alone has the private pop that authenticates"
TABLES = "drops a table of the database"

EXPECTED = {
    "test_sqlite_session_close_closes_worker_thread_connections": CONNECTIONS,
    "test_sqlite_session_reaps_connections_from_exited_worker_threads": CONNECTIONS,
    "test_sqlite_session_closes_retired_connections_before_the_next_allocation": CONNECTIONS,
    "test_sqlite_session_keeps_connections_of_live_worker_threads": CONNECTIONS,
    "test_sqlite_session_rollback_failure_evicts_connection": CONNECTIONS,
    "test_sqlite_session_close_retries_quarantined_connection": CONNECTIONS,
    "test_sqlite_session_post_commit_cancellation_propagates_after_known_outcome": CONNECTIONS,
    "test_settled_pop_failure_invalidates_response_chain": CONNECTIONS,
    "test_settled_clear_failure_invalidates_response_chain": CONNECTIONS,
    "test_sqlite_session_file_lock_is_shared_across_instances": CONNECTIONS,
    "test_sqlite_session_closed_rejects_empty_add_items": "the message names the class SQLiteSession",
    "test_sqlite_session_pop_item_skips_corrupt_most_recent": CORRUPT,
    "test_sqlite_session_pop_item_returns_none_after_dropping_only_corrupt_rows": CORRUPT,
    "test_sqlite_session_get_items_limit_skips_corrupt_newest_rows": CORRUPT,
    "test_sqlite_session_get_items_session_settings_limit_skips_corrupt_rows": CORRUPT,
    "test_sqlite_session_failed_add_items_releases_write_lock": "InvalidDocument, with the path, is no TypeError",
    "test_sqlite_session_failed_clear_session_rolls_back": TABLES,
    "test_sqlite_session_failed_pop_item_releases_write_lock": TABLES,
    "test_suffix_transaction_rolls_back_failed_insert[sqlite]": "makes a trigger in the database",
    "test_cancelled_suffix_transaction_settles_before_newer_append[sqlite]": "replaces a private method",
    "test_failed_encrypted_suffix_transaction_preserves_original_tokens[sqlite-False]": "makes a trigger",
    "test_failed_encrypted_suffix_transaction_preserves_original_tokens[sqlite-True]": "makes a trigger",
    "test_handoff_resume_after_cancelled_compaction_commits": "replaces the private method that inserts rows",
    "test_encrypted_pop_wrong_key_preserves_recoverable_history": PRIVATE_POP,
    "test_encrypted_pop_rechecks_authentication_after_expired_tail": PRIVATE_POP,
    "test_encrypted_pop_authentication_is_atomic_with_concurrent_mutations": PRIVATE_POP,
    "test_encrypted_pop_wrong_key_preserves_row_identity": PRIVATE_POP,
    "test_encrypted_pop_cancellation_waits_for_authentication_rollback": PRIVATE_POP,
}

PATHS = (
    "tests/memory/test_session.py",
    "tests/memory/test_session_limit.py",
    "tests/memory/test_session_context_wrapper.py",
    "tests/memory/test_session_persistence_sanitize.py",
    "tests/memory/test_compaction_suffix.py",
    "tests/memory/test_compaction_model_visibility.py",
    "tests/memory/test_openai_responses_compaction_session.py",
    "tests/extensions/memory/test_encrypt_session.py",
    "tests/test_tool_batch_failure_history.py",
    "tests/test_native_tool_failure_history.py",
    "tests/test_max_turns.py",
    "tests/test_programmatic_tool_calling.py",
    "tests/test_run_impl_resume_paths.py",
    "tests/test_tool_failure_boundaries.py",
    "tests/test_soft_cancel.py",
)

INI = """
asyncio_mode = auto
asyncio_default_fixture_loop_scope = session
markers =
  allow_call_model_methods
  requires_native_macos_sandbox
  review_optional
  serial
"""


@pytest.mark.slow
def test_their_tests_pass_over_a_vault(tmp_path: Path) -> None:
    source = source_of("openai-agents", tmp_path)
    reaimed = Path(__file__).with_name("reaimed_openai.py")
    passed, failed = run_suite(source, PATHS, reaimed=reaimed, expected=EXPECTED, needs=["aiosqlite"], ini=INI)
    assert (passed > 900, failed) == (True, 37)
