"""The agents whose files are known, and those of them whose files are transcripts: lines that are events."""

from __future__ import annotations

from .claude_code import CLAUDE_CODE
from .codex import CODEX
from .copilot_cli import COPILOT_CLI
from .gemini_cli import GEMINI_CLI
from .pi import PI

AGENTS = {agent.name: agent for agent in (CLAUDE_CODE, CODEX, COPILOT_CLI, GEMINI_CLI, PI)}
"""All, by their names."""

TRANSCRIPTS = {agent.name: agent for agent in (PI, CODEX, COPILOT_CLI, CLAUDE_CODE)}
"""Whose lines are events. The first that a file can be of is the one."""
