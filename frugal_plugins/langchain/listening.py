"""The pieces of one streamed answer, kept as they pass so that the flow can be told what they came to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import cast

from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message

from frugal_plugins.inside import inside
from frugal_plugins.langchain.replies import finish_of
from frugal_plugins.langchain.voices import joined
from frugal_plugins.request import Reply


class Heard:
    """The pieces of one answer as they were read.

    Args:
        note: puts what we have to say on the first piece.
        read: a message and why it ended, as a Reply.
    """

    def __init__(self, note: Callable[[AIMessage], AIMessage], read: Callable[[AIMessage, str], Reply]) -> None:
        self._note = note
        self._read = read
        self.seen: list[AIMessageChunk] = []
        self.complete = False

    def take(self, chunk: AIMessageChunk) -> AIMessageChunk:
        """Keep a piece."""
        if not self.seen:
            chunk = cast("AIMessageChunk", self._note(chunk))
        self.seen.append(chunk)
        return chunk

    def reply(self) -> Reply:
        """The answer so far."""
        if self.seen:
            message = cast("AIMessage", message_chunk_to_message(joined(self.seen)))
        else:
            message = AIMessage("", usage_metadata={"input_tokens": 0, "output_tokens": 0, "total_tokens": 0})
        return self._read(message, finish_of(message) if self.complete else "closed")


class Opened(Heard):
    """A stream under way."""

    def __init__(
        self, chunks: Iterator[AIMessageChunk], note: Callable[[AIMessage], AIMessage], read: Callable[[AIMessage, str], Reply]
    ) -> None:
        super().__init__(note, read)
        self._chunks = chunks

    def __iter__(self) -> Iterator[AIMessageChunk]:
        try:
            while True:
                with inside():  # only while the model works, not while the reader holds a piece
                    chunk = next(self._chunks, None)
                if chunk is None:
                    break
                yield self.take(chunk)
            self.complete = True
        finally:
            close = getattr(self._chunks, "close", None)
            if close is not None:
                close()


class AsyncOpened(Heard):
    """A stream under way, for `async for`."""

    def __init__(
        self, chunks: AsyncIterator[AIMessageChunk], note: Callable[[AIMessage], AIMessage], read: Callable[[AIMessage, str], Reply]
    ) -> None:
        super().__init__(note, read)
        self._chunks = chunks

    def __aiter__(self) -> AsyncOpened:
        return self

    async def __anext__(self) -> AIMessageChunk:
        with inside():  # only while the model works, not while the reader holds a piece
            chunk = await anext(self._chunks, None)
        if chunk is None:
            self.complete = True
            raise StopAsyncIteration
        return self.take(chunk)

    async def aclose(self) -> None:
        """Leave the provider's stream."""
        close = getattr(self._chunks, "aclose", None)
        if close is not None:
            await close()
