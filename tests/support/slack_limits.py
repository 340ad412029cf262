"""Whether Slack would accept a message: its published limits, and no sequence but ours."""

import json
import re
from typing import Any

from slack_sdk.models.attachments import BlockAttachment
from slack_sdk.models.blocks import Block, ContextBlock, SectionBlock

BLOCKS: dict[str, type[Block]] = {"section": SectionBlock, "context": ContextBlock}
_SEQUENCES = re.compile(
    r"<(?:https?://[^<>|]{1,3000}\|[^<>]*"
    r"|!date\^\d+\^\{date_short_pretty\} \{time_secs\}\|[\d :UTC-]+|!here)>"
)


def every_text(value: Any) -> list[str]:
    """Return the text of every text object of blocks or attachments."""
    if isinstance(value, list):
        return [text for item in value for text in every_text(item)]
    if not isinstance(value, dict):
        return []
    own = [value["text"]] if isinstance(value.get("text"), str) else []
    return own + [text for item in value.values() for text in every_text(item)]


def assert_valid(content: dict[str, Any]) -> None:
    """Fail if a message with blocks exceeds a limit, or holds a sequence that is not ours."""
    assert 0 < len(content["text"]) <= 4000
    assert len(json.dumps(content, ensure_ascii=False, separators=(",", ":"))) <= 15_000
    assert len(content["blocks"]) == 1
    assert len(content["attachments"]) <= 1
    for attachment in content["attachments"]:
        assert re.fullmatch("#[0-9a-f]{6}", attachment["color"])
        assert 0 < len(attachment["blocks"]) <= 50
        blocks = [parsed(block) for block in attachment["blocks"]]
        BlockAttachment(blocks=blocks, color=attachment["color"]).to_dict()
    parsed(content["blocks"][0]).to_dict()
    texts = every_text([content["blocks"], content["attachments"]])
    assert sum(map(len, [content["text"], *texts])) <= 9000
    assert all(0 < len(text) <= 3000 for text in texts)
    for text in (content["text"], *texts):
        bare = _SEQUENCES.sub("", text)
        assert "<" not in bare and ">" not in bare
        assert not re.search(r"&(?!amp;|lt;|gt;)", text)


def parsed(block: dict[str, Any]) -> Block:
    """Return a block whose `to_dict` enforces the limits of its kind."""
    fields = {name: value for name, value in block.items() if name != "type"}
    made = BLOCKS[block["type"]](**fields)
    made.to_dict()
    return made
