"""Streamed file downloads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator

from django.http import HttpResponse, StreamingHttpResponse

from alignment_app.services.exports import Stream


def csv_file(lines: Iterable[str], name: str) -> HttpResponse:
    """Return a CSV file small enough to be sent at once."""
    answer = HttpResponse("".join(lines), content_type="text/csv; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    answer.headers["Cache-Control"] = "no-store"
    return answer


class Download(StreamingHttpResponse):
    """A streamed export, for WSGI and ASGI servers."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        super().__init__(iter(stream), content_type=stream.format.media_type)
        self.headers["Content-Disposition"] = f'attachment; filename="{stream.export.file_name}"'
        self.headers["Plumbline-Export"] = str(stream.export.pk)
        self.headers["Cache-Control"] = "no-store"

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.streaming_content)  # type: ignore[arg-type]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream.in_pieces():
            yield piece
