"""Text from outside for services that interpret it, each in its own way. Pure.

Behind Apprise are Discord, Mattermost, Telegram, Matrix, mail and a hundred more: some read
Markdown, some HTML, and they differ in how a mention is written. None has an escape that the others
do not show. So what begins a mention, a link, an element or a format becomes a character that looks
like it and means nothing to any of them. Characters without width would not do: some services
remove them.
"""

import re

_ALIKE = str.maketrans(
    {
        "@": "＠",  # @everyone, @here, users; Matrix, Telegram, GitHub
        "<": "‹",  # HTML, <@123>, <@&role>, <!channel>, <https://…|text>
        ">": "›",  # also a quotation
        "[": "［",  # [text](url), ![alt](url), [reference]: url
        "]": "］",
        "`": "ʼ",
        "*": "∗",
        "\\": "＼",  # escapes, and \\@
        "|": "¦",  # tables, and Discord's spoilers
        "~": "∼",  # struck out text, and Mattermost's channels
    }
)
_LINK = re.compile(r"://|www\.|(?:mailto|tel|xmpp|magnet|matrix|javascript):", re.IGNORECASE)
_UNLINKED = str.maketrans({":": "：", ".": "․"})
_ENTITY = re.compile(r"&(?=#?\w+;)")
_UNDERSCORE = re.compile(r"(?<![^\W_])_+|_+(?![^\W_])")  # within a word it formats nothing
_HEADING = re.compile(r"^(\s*)([#=+-])", re.MULTILINE)
_LINE_MARKS = {"#": "＃", "=": "＝", "+": "＋", "-": "–"}


def neutral(text: str) -> str:
    """Return `text` looking the same, without a live mention, link, element or format."""
    text = text.translate(_ALIKE)
    text = _ENTITY.sub("＆", text)
    text = _LINK.sub(lambda link: link[0].translate(_UNLINKED), text)
    text = _UNDERSCORE.sub(lambda run: "＿" * len(run[0]), text)
    return _HEADING.sub(lambda mark: mark[1] + _LINE_MARKS[mark[2]], text)
