"""A judge of refusals as a study names it: where it is asked, which model, how often at once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from triaxis.study.fields import AS_WHOLE, Strict
from triaxis.study.reading import read_text

KEY_ENV = "TRIAXIS_JUDGE_KEY"


class JudgeSettings(Strict):
    """`evaluation.judge`, and the options of `triaxis judge`."""

    endpoint: Annotated[str, Field(min_length=1, max_length=2000)]
    model: Annotated[str, Field(min_length=1, max_length=200)]
    template: str = ""  # a file with {prompt} and {reply} in it; empty: ours
    key_env: str = KEY_ENV  # the environment variable that holds the key, if one is needed
    concurrency: Annotated[int, AS_WHOLE, Field(ge=1, le=256)] = 8  # requests at a time
    timeout: Annotated[float, Field(gt=0, le=3600)] = 60.0  # seconds
    tries: Annotated[int, AS_WHOLE, Field(ge=1, le=100)] = 6

    @field_validator("key_env")
    @classmethod
    def _a_name(cls, name: str) -> str:
        if not re.fullmatch("[A-Z_][A-Z0-9_]*", name):  # what was given may be a key: it is not shown
            raise ValueError(
                f"must be an environment variable's name in capitals, such as {KEY_ENV}, and never the key"
            )
        return name

    def read_template(self) -> str:
        """The text of the template's file. Raises TriaxisError where it can't be read."""
        return read_text(Path(self.template), "template")
