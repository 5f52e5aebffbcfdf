"""A conversation as one file: nothing that was said is lost, and nothing in it acts."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from vaultsession.format.messages import html, markdown

PNG = "iVBORw0KGgo="
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt:alert(1))",
    "![a](https://example.org/pixel.png)",
    "<svg onload=alert(1)></svg>",
    "[a](data:text/html;base64,PHNjcmlwdD4=)",
    "<a href='javascript:alert(1)'>x</a>",
    "</article></main><style>*{display:none}</style>",
    "```<script>\n</pre><script>alert(1)</script>\n```",
    "<https://example.org/><javascript:alert(1)>",
    "[a]: javascript:alert(1)\n\n[a]",
]


class Tags(HTMLParser):
    """Every tag, and every attribute that may act or load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(*messages: object, title: str = "A title", facts: dict[str, str] | None = None) -> str:
    return "".join(html.document(title, facts or {}, messages))


PLACES = {
    "a text": lambda text: {"role": "user", "content": text},
    "thinking": lambda text: {"role": "assistant", "content": [{"type": "thinking", "thinking": text}]},
    "a call": lambda text: {
        "role": "assistant",
        "content": [{"type": "tool_use", "name": text, "input": {text: text}}],
    },
    "a result": lambda text: {"role": "tool", "content": text},
    "a role": lambda text: {"role": text, "content": text},
    "a name of a file": lambda text: {"role": "user", "content": [{"type": "file", "file": {"filename": text}}]},
    "an image": lambda text: {
        "role": "user",
        "content": [{"type": "image", "source": {"type": "base64", "media_type": f"image/png{text}", "data": text}}],
    },
    "an SVG": lambda text: {
        "role": "user",
        "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/svg+xml", "data": "PHN2Zz4="}}],
    },
    "a citation": lambda text: {
        "role": "assistant",
        "content": [{"type": "text", "text": "x", "annotations": [{"title": text, "url": text}]}],
    },
    "an event": lambda text: {"type": text, "content": text},
    "something else": lambda text: {text: text},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_page_acts_or_loads(place: str, text: str) -> None:
    page = Tags(page_of(PLACES[place](text), title=text, facts={text: text}))
    assert "script" not in page.tags
    assert "svg" not in page.tags
    assert page.tags.count("style") == page.tags.count("main") == 1
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name == "src":
            assert (value or "").startswith("data:image/")
            assert "svg" not in (value or "")
        if name == "href":
            assert re.match(r"#|https?:|mailto:", value or "")


def test_a_page_says_what_was_said() -> None:
    page = page_of(
        {"role": "user", "content": "**bold** and `code`"},
        {"role": "assistant", "content": [{"type": "tool_use", "name": "w", "input": {"city": "Rabat"}}]},
        {
            "role": "user",
            "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}],
        },
        title="Rain & wind",
        facts={"user_id": "alice"},
    )
    assert "<strong>bold</strong> and <code>code</code>" in page
    assert "<title>Rain &amp; wind</title>" in page
    assert f'src="data:image/png;base64,{PNG}"' in page
    shown = Tags(page)
    for piece in ("→ w", '"city": "Rabat"', "alice", "#2"):
        assert piece in shown.text
    assert "default-src 'none'" in page
    assert "http:" not in page
    assert "https:" not in page


def test_markdown_says_what_was_said_and_no_fence_is_broken_out_of() -> None:
    text = "".join(
        markdown.document(
            "A *title*",
            {"user": "a|b"},
            [
                {"role": "user", "content": "**bold**"},
                {"role": "tool", "content": "```\nnot the end\n````"},
                {"role": "assistant", "content": [{"type": "tool_use", "name": "a_b", "input": {"n": 1}}]},
            ],
        )
    )
    assert text.startswith("# A \\*title\\*\n")
    assert "| user | a\\|b |" in text
    assert "\n## 0 · user\n\n**bold**\n" in text
    assert "\n`````\n```\nnot the end\n````\n`````\n" in text
    assert '→ **a\\_b**\n\n```json\n{\n  "n": 1\n}\n```\n' in text
