"""How uploads are read: a few files at a time, nothing else, and no leftovers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gradio import route_utils
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect

from dancing.studio.limits import FILES


class UploadParser(route_utils.GradioMultiPartParser):
    """The framework's parser, within our limits.

    The framework takes a thousand files at a time, keeps fields that are no files in memory,
    however large, and leaves the temporary files of visitors who went away.
    """

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named | {"max_files": FILES, "max_fields": 0})

    async def parse(self) -> FormData:
        """The files.

        Raises:
            MultiPartException: with a line for the visitor.
        """
        try:
            return await super().parse()
        except BaseException as error:
            for file in self._files_to_close_on_error:
                file.close()
                Path(file.name).unlink(missing_ok=True)
            if self.upload_progress is not None:
                self.upload_progress.set_done(str(self.upload_id))
            if isinstance(error, ClientDisconnect):
                raise MultiPartException("The upload did not come to its end.") from error
            if self._current_files > FILES:
                raise MultiPartException(f"At most {FILES} files at a time.") from error
            raise


def use_parser() -> None:
    """Let the framework read uploads so."""
    route_utils.GradioMultiPartParser = UploadParser  # type: ignore[misc]
