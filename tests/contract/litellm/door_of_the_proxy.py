"""Loaded by the proxy under test: opens the SDK's door in the proxy's own process, and writes LiteLLM's spend down."""

import json
import os
from pathlib import Path
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

from frugal_plugins.litellm import install


class Spend(CustomLogger):
    """What LiteLLM would put into its spend logs: a line for each success event."""

    async def async_log_success_event(self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any) -> None:
        logged = kwargs.get("standard_logging_object") or {}
        with Path("spent.jsonl").open("a") as lines:  # noqa: ASYNC230 - one line
            lines.write(json.dumps([kwargs.get("litellm_call_id"), logged.get("model"), logged.get("response_cost")]) + "\n")


install(os.environ["FRUGAL_RECIPE"])
opened = Spend()
