"""What the ledger says was paid is what the provider bills."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.messages import HumanMessage, SystemMessage
from pydantic import BaseModel

from frugal_plugins import Recipe
from frugal_plugins.langchain import FrugalRouter
from frugal_plugins.sandbox import Fault, Sandbox


class Order(BaseModel):
    """An order."""

    item: str
    count: int


TEXTS = ("Is it late?", "What is a lien?", "Extract the order from: 3 red chairs.", "Compare the two proposals.", "Is it late?")
LONG = SystemMessage([{"type": "text", "text": "You answer customers of a shop. " * 400, "cache_control": {"type": "ephemeral"}}])


async def test_the_ledger_equals_the_invoice_over_a_mixed_run(
    recipe_of: Callable[..., Recipe], models: dict[str, Any], sandbox: Sandbox
) -> None:
    recipe = recipe_of(route={}, cap={}, cache={})
    router = FrugalRouter.from_recipe(recipe, models=models)
    sandbox.faults.add(Fault("rate_limit", model="gpt-4o-mini"))
    for task in ("yes_no", "extraction", "support_reply"):
        config: Any = {"metadata": {"frugal": {"task": task}}}
        router.batch(list(TEXTS), {**config, "max_concurrency": 2}, return_exceptions=True)
        for text in TEXTS:
            list(router.stream(f"{text} ({task})", config))
            await router.ainvoke([LONG, HumanMessage(f"{text} ({task})")], config)
        router.with_structured_output(Order).invoke(f"{task}: 3 chairs", config)
        [chunk async for chunk in router.with_structured_output(Order).astream(f"{task}: 4 chairs", config)]
        router.bind_tools([Order], tool_choice="any").invoke(f"{task}: 5 chairs", config)
        router.generate([[HumanMessage(f"{task}: 6 chairs")]], metadata=config["metadata"])
    recipe.close()
    invoice = sandbox.invoice()
    names = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens", "reasoning_tokens")
    with recipe.ledger.open() as ledger:  # type: ignore[union-attr]
        booked = ledger.execute(f"SELECT {', '.join(f'sum({name})' for name in names)}, sum(picousd) FROM calls").fetchone()
        ids = {row[0] for row in ledger.execute("SELECT provider_id FROM calls WHERE provider_id IS NOT NULL")}
        outcomes = dict(ledger.execute("SELECT outcome, count(*) FROM requests GROUP BY 1").fetchall())
    assert booked[:-1] == tuple(getattr(invoice.usage, name) for name in names)
    assert booked[-1] == int(invoice.total_usd * 10**12)
    assert ids <= {line.id for line in invoice.lines}
    assert len(ids) > len(invoice.lines) / 2
    assert booked[1] > 0
    assert booked[2] > 0
    assert outcomes["hit"] >= 3
    assert outcomes["error"] == 1
