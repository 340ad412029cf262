"""A new user's first hour, as `python -m scripts.first_hour` shows it."""

from pathlib import Path

import pytest

from scripts.first_hour.__main__ import STEPS, first_hour

pytestmark = pytest.mark.anyio


async def test_each_command_of_the_first_hour_leads_to_the_next(tmp_path: Path) -> None:
    assert len(STEPS) == 30
    async for step, finished in first_hour(tmp_path):
        assert finished.code == step.code, f"$ {step.command}\n{finished.output}"
        assert step.words in finished.output, f"$ {step.command}\n{finished.output}"
        assert "Traceback" not in finished.output
