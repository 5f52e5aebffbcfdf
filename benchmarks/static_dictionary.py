"""Makes the dictionary that comes with the package, from synthetic conversations alone.

Run: ``python -m benchmarks.static_dictionary FILE``. Another build of zstd may learn another one from the same text, so
the file in the package is what counts: records refer to it by its number for ever, and it is never made anew. A better
one gets another number.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Iterator
from typing import Any

import zstandard

from vaultsession.format import payload
from vaultsession.format.dictionaries import SHIPPED

SIZE = 8 * 1024
SAMPLES = 12_000

WORDS = """
the be to of and a in that have it for not on with as you do at this but by from they we say or will my one all would
there their what so up out if about who get which go me when make can like time no just know take people into year
your good some could them see other than then now look only come its over think also back after use two how our work
first well way even new want because any these give day most us is are was were been has had did should may might must
need file code function value type name list string number error test data model user message session server client
request response key index array object return class method module package import path line text result output input
default option config environment variable version update change add remove create delete read write run build check
fix issue problem example step install command directory project repository branch commit database table query column
row field schema api endpoint token header status parameter argument handle exception cache memory process thread lock
async performance support current following instead before each same without within during between through while where
both more many much every another available required specific different possible important correct please thanks sure
here let help question answer provide information details order account customer flight booking reservation payment
date weather city price total email
""".split()  # noqa: SIM905 - prose is easier to read

OPENERS = [
    "I'll help you with that.",
    "Let me check the current state of the code.",
    "Sure! Here's an example:",
    "Let me look at the file first.",
    "I'll start by reading the relevant files.",
    "Great question!",
    "Here's what I found:",
    "The issue is that",
    "Now let me run the tests to make sure everything works.",
    "Thank you for your help!",
    "Could you please provide more details about",
    "You're right, I apologize for",
    "I can see that",
    "Based on the information you provided,",
    "To fix this, you need to",
    "In summary,",
    "First, let's take a look at",
    "This is because",
    "As an AI language model,",
    "I'm sorry, but I can't",
    "Is there anything else I can help you with?",
    "Yes, that is correct. Please proceed.",
    "All tests pass.",
    "How can I assist you today?",
    "Perfect! Now I'll update",
    "I understand you'd like to",
    "Let me know if",
    "Can you explain how",
    "What is the best way to",
    "Please write a",
    "I want you to act as",
    "Why does",
]

PROMPTS = [
    "You are a helpful assistant.",
    "You are a coding agent. You can read and edit files, run commands and search the web with the tools below.",
    "You are a customer service agent. Follow the policy. Do not make up information that the user did not provide.",
    "Answer as concisely as possible. Knowledge cutoff: 2024-06. Current date: 2026-01-15.",
]

CODE = """
```python
def {0}({1}: str, {2}: int = 0) -> dict[str, Any]:
    \"""{3}.\"""
    for {2} in range(len({1})):
        if {1}[{2}] is None:
            raise ValueError(f"{0}: {{{1}}}")
    return {{"{1}": {1}}}
```

----
```javascript
const {0} = async ({1}) => {{
  const {2} = await fetch(`/api/${{{1}}}`);
  if (!{2}.ok) {{
    throw new Error('{3}');
  }}
  return {2}.json();
}};
```

----
```bash
cd {0} && git status && npm install
pip install {1}
grep -rn "{2}" --include='*.py' .
```

----
func {0}({1} string) ({2} int, err error) {{
\tif err != nil {{
\t\treturn nil, fmt.Errorf("{3}: %w", err)
\t}}

----
class {0}:
    def __init__(self, {1}: list[str]) -> None:
        self.{1} = {1}

    def test_{2}(self) -> None:
        assert self.{1} == []

----
SELECT {1}, {2} FROM {0} WHERE {1} = 1 ORDER BY {2} DESC LIMIT 10;

----
Traceback (most recent call last):
  File "/home/user/{0}/{1}.py", line 42, in <module>
TypeError: {2}

----
total 24
drwxr-xr-x 2 root root 4096 Jan  1 12:00 .
-rw-r--r-- 1 root root  512 Jan  1 12:00 {0}.py

----
     1\t{0}
     2\t{1}
     3\t
     4\t{2}

----
### {3}

1. **{0}**: {1} {2}
2. **{1}**: {0}

- `{2}`
- `{0}()`

| {0} | {1} |
|---|---|
| {2} | {1} |

----
Exit code: 0
stdout:
{0}
stderr:

----
(no output)
----
============ 12 passed in 0.34s ============

"""[1:-1].split("\n----\n")

TOOLS = """
get_weather search read_file write_file bash Bash Read Edit Grep apply_patch shell get_user_details execute_command
web_search str_replace_editor calculate python think
""".split()  # noqa: SIM905 - as above
MODELS = [
    "gpt-4o",
    "gpt-4o-mini-2024-07-18",
    "claude-sonnet-4-20250514",
    "claude-opus-4-1-20250805",
    "gemini-2.5-pro",
    "o3",
]
OTHER_TONGUES = [
    "¿Puedes ayudarme con esto, por favor? Gracias por la información que me has dado.",
    "Pouvez-vous m'expliquer comment faire ? Merci pour votre aide, c'est très utile.",
    "Können Sie mir bitte helfen? Vielen Dank für die Antwort, das ist sehr nützlich.",
    "请帮我解释一下这个问题。谢谢你的帮助,我们可以使用以下方法。",
    "これは例です。ありがとうございます。お願いします。",
    "مرحبا، كيف يمكنني مساعدتك اليوم؟ شكرا على المعلومات.",
    "नमस्ते, मैं आपकी कैसे मदद कर सकता हूँ? धन्यवाद।",
]


class Chat:
    """Writes messages as the common interfaces spell them, the same ones for the same seed."""

    def __init__(self, seed: int = 1) -> None:
        self._chance = random.Random(seed)
        self._weights = [1 / (rank + 8) for rank in range(len(WORDS))]

    def words(self, count: int) -> list[str]:
        return self._chance.choices(WORDS, self._weights, k=count)

    def sentence(self) -> str:
        text = " ".join(self.words(self._chance.randint(4, 16)))
        return f"{text[:1].upper()}{text[1:]}{self._chance.choice('...,?!:')}"

    def code(self) -> str:
        return self._chance.choice(CODE).format(*self.words(3), self.sentence())

    def text(self) -> str:
        parts = [self._chance.choice(OPENERS)] if self._chance.random() < 0.6 else []
        for _ in range(self._chance.randint(1, 4)):
            kind = self._chance.random()
            parts.append(self.code() if kind < 0.25 else self.sentence())
        if self._chance.random() < 0.04:
            parts.append(self._chance.choice(OTHER_TONGUES))
        return self._chance.choice((" ", " ", "\n\n", "\n")).join(parts)

    def mark(self, prefix: str, size: int) -> str:
        return prefix + "".join(
            self._chance.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", k=size)
        )

    def uuid(self) -> str:
        bits = self._chance.getrandbits
        return f"{bits(32):08x}-{bits(16):04x}-4{bits(12):03x}-8000-{bits(48):012x}"

    def moment(self) -> str:
        number = self._chance.randint
        day, time = number(10, 28), f"{number(10, 23)}:{number(10, 59)}:{number(10, 59)}.{number(100, 999)}"
        return f"2026-0{number(1, 9)}-{day}T{time}Z"

    def arguments(self) -> dict[str, Any]:
        one, two, three = self.words(3)
        return self._chance.choice(
            (
                {"command": f"cd /home/user/{one} && python -m pytest -q {two}", "description": self.sentence()},
                {"file_path": f"/home/user/{one}/src/{two}.py"},
                {"path": f"src/{one}/{two}.ts", "content": self.code()},
                {"file_path": f"/home/user/{one}.py", "old_string": self.sentence(), "new_string": self.code()},
                {"query": self.sentence(), "limit": 10},
                {"pattern": one, "output_mode": "content"},
                {"location": f"{one}, {two}", "unit": "celsius"},
                {"user_id": f"{one}_{two}_1234"},
                {"thought": self.sentence()},
                {"command": ["bash", "-lc", f"sed -n '1,200p' {one}/{three}.go"], "workdir": "/home/user"},
            )
        )

    def result(self) -> str:
        kind = self._chance.random()
        if kind < 0.3:
            one, two, three = self.words(3)
            return json.dumps(
                {"status": "success", one: self.sentence(), two: [1, 2], "id": self.mark("", 8), three: None}
            )
        return self.code() if kind < 0.7 else self.sentence()

    def usage(self) -> dict[str, Any]:
        number = self._chance.randint
        return {
            "input_tokens": number(1, 9999),
            "cache_creation_input_tokens": number(0, 9999),
            "cache_read_input_tokens": number(0, 99999),
            "output_tokens": number(1, 999),
            "service_tier": "standard",
        }

    def openai(self) -> Iterator[Any]:
        call = {
            "id": self.mark("call_", 24),
            "type": "function",
            "function": {"name": self._chance.choice(TOOLS), "arguments": json.dumps(self.arguments())},
        }
        yield {"role": "system", "content": self._chance.choice(PROMPTS)}
        yield {"role": "user", "content": self.text()}
        yield {"content": None, "role": "assistant", "tool_calls": [call], "function_call": None}
        yield {"role": "assistant", "content": self.text(), "tool_calls": [call]}
        yield {"role": "tool", "tool_call_id": call["id"], "name": call["function"]["name"], "content": self.result()}
        yield {"role": "assistant", "content": self.text()}
        yield {"role": "user", "content": [{"type": "text", "text": self.text()}]}
        yield {"from": "human", "value": self.text()}
        yield {"from": "gpt", "value": self.text()}
        yield {"role": "user", "parts": [{"text": self.text()}]}
        yield {"role": "model", "parts": [{"text": self.text()}]}

    def responses(self) -> Iterator[Any]:
        mark = self.mark("call_", 24)
        yield {"type": "message", "role": "user", "content": [{"type": "input_text", "text": self.text()}]}
        yield {
            "id": self.mark("msg_", 40),
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "annotations": [], "text": self.text()}],
        }
        yield {
            "timestamp": self.moment(),
            "type": "response_item",
            "payload": {
                "type": "function_call",
                "name": self._chance.choice(TOOLS),
                "arguments": json.dumps(self.arguments()),
                "call_id": mark,
            },
        }
        yield {"type": "function_call_output", "call_id": mark, "output": self.result()}
        yield {
            "type": "reasoning",
            "id": self.mark("rs_", 40),
            "summary": [{"type": "summary_text", "text": self.text()}],
        }

    def anthropic(self) -> Iterator[Any]:
        mark = self.mark("toolu_01", 22)
        use = {"type": "tool_use", "id": mark, "name": self._chance.choice(TOOLS), "input": self.arguments()}
        done = {"tool_use_id": mark, "type": "tool_result", "content": self.result(), "is_error": False}
        yield {"role": "user", "content": self.text()}
        yield {"role": "assistant", "content": [{"type": "text", "text": self.text()}, use]}
        yield {"role": "user", "content": [done]}
        yield {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": self.text(), "signature": self.mark("Eq", 60)}],
        }
        frame = {
            "parentUuid": self.uuid(),
            "isSidechain": False,
            "userType": "external",
            "cwd": "/home/user/project",
            "sessionId": self.uuid(),
            "version": "1.0.58",
            "gitBranch": "main",
        }
        reply = {
            "id": self.mark("msg_01", 22),
            "type": "message",
            "role": "assistant",
            "model": self._chance.choice(MODELS),
            "content": [use],
            "stop_reason": "tool_use",
            "stop_sequence": None,
            "usage": self.usage(),
        }
        end = {"uuid": self.uuid(), "timestamp": self.moment()}
        yield {**frame, "message": reply, "requestId": self.mark("req_01", 22), "type": "assistant", **end}
        yield {
            **frame,
            "type": "user",
            "message": {"role": "user", "content": [done]},
            **end,
            "toolUseResult": {"stdout": self.result(), "stderr": "", "interrupted": False, "isImage": False},
        }

    def messages(self) -> Iterator[Any]:
        weighted = (self.openai, self.openai, self.responses, self.anthropic)
        while True:
            yield from self._chance.choice(weighted)()


def samples(count: int) -> list[bytes]:
    """Bodies as appends write them."""
    messages = Chat().messages()
    return [payload.body({}, [next(messages)]) for _ in range(count)]


def main() -> None:
    learned = zstandard.train_dictionary(SIZE, samples(SAMPLES), k=256, d=8, level=3, dict_id=SHIPPED)
    content = learned.as_bytes()
    with open(sys.argv[1], "xb") as file:
        file.write(content)
    print(f"{len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
