"""What acts on the same bytes acts in the order in which that costs least."""

from __future__ import annotations

from frugal_plugins import Recipe
from frugal_plugins.flow import Call
from frugal_plugins.request import Message, Reply, Request
from frugal_plugins.usage import Usage
from tests.support import drive

TINY = {"recipe": "tiny", "tiers": {"only": {"models": ["openai/gpt-5"]}}, "ledger": "off"}
WORDY = "Please make sure to be brief in order to help. " + " ".join(
    f"Please note that desk {kind} has {kind % 7} drawers and ships within {kind % 5} days." for kind in range(40)
)


def test_history_sizes_prompts_as_they_will_be_sent() -> None:
    """It keeps them just above the length from which on they are cached; what is taken out behind it would push them below."""
    recipe = Recipe.load({**TINY, "history": {}, "shorten": {}, "prompt_cache": {}})
    assert [step.name for step, _ in recipe.steps] == ["shorten", "history", "prompt_cache"]
    said: list[Message] = [{"role": "system", "content": WORDY}]
    sizes: list[int] = []

    def model(call: Call) -> Reply:
        from frugal_plugins.tokens import count_messages

        sizes.append(count_messages(call.request.messages, "openai/gpt-5"))
        return Reply({"role": "assistant", "content": "ok"}, "gpt-5", Usage(sizes[-1], output_tokens=1))

    for turn in range(60):
        said.append(
            {
                "role": "user",
                "content": f"Parcel {turn} went to town {turn % 9} on a rainy day, and then over the fjord by ferry. Is it there?",
            }
        )
        flow, ctx = recipe.flow(Request("openai/gpt-5", tuple(said), session="s"))
        drive(flow, ctx, model)
        said.append({"role": "assistant", "content": f"Parcel {turn} is there."})
    long_enough = sizes.index(next(size for size in sizes if size >= 1024))
    assert min(sizes[long_enough:]) >= 1024
    assert max(sizes) < 1_800
