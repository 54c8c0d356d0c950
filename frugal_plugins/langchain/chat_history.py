"""`SummarizedChatHistory`: a memory behind LangChain's older chat-history interface, for pipelines that still use it."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.runnables import RunnableConfig

from frugal_plugins.langchain.memory import SummarizingMemory


class SummarizedChatHistory(BaseChatMessageHistory):
    """A chat history that is read shorter than it was written.

    Every message is kept in `kept`, any chat history of yours (Redis, a file, memory); what a chain reads is the shorter view of the
    memory. The view changes only when messages are added, so `RunnableWithMessageHistory` may read it as often as it likes.
    LangChain recommends LangGraph's persistence for new code; `SummarizingMemory` and `frugal_middleware` work there.

    Args:
        kept: where the conversation is kept, whole.
        memory: shortens it.
        session: names the conversation; its state is kept in the recipe's session store.
        tenant: whose conversation it is; two tenants never share a session.

    ```python
    memory = SummarizingMemory.from_recipe(recipe)
    chain = RunnableWithMessageHistory(
        prompt | llm, lambda session_id: SummarizedChatHistory(stored(session_id), memory, session=session_id)
    )
    ```
    """

    def __init__(self, kept: BaseChatMessageHistory, memory: SummarizingMemory, *, session: str, tenant: str | None = None) -> None:
        self.kept = kept
        self.memory = memory
        told = {"session": session, **({"tenant": tenant} if tenant else {})}
        self._config: RunnableConfig = {"callbacks": [], "metadata": {"frugal": told}}
        self._view: list[BaseMessage] | None = None

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]
        """The conversation as it should be sent."""
        if self._view is None:
            whole = self.kept.messages
            self._view = self.memory.invoke(whole, self._config) if whole else []
        return list(self._view)

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Keep messages, whole."""
        plain = [message_chunk_to_message(message) if isinstance(message, AIMessageChunk) else message for message in messages]
        self.kept.add_messages(plain)
        self._view = None

    def clear(self) -> None:
        """Forget the conversation."""
        self.kept.clear()
        self._view = None
