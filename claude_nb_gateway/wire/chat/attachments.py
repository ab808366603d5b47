"""From images and files of a request to the Messages API's content blocks. Pure.

What the model takes is said in
https://docs.anthropic.com/en/docs/build-with-claude/vision and …/pdf-support.
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
import re

from ...claude_code.turns import ContentBlock
from ...errors import InvalidRequest
from .types import FileData

#: How a file of each type begins; what clients say of the type is often wrong.
_IMAGE_MAGIC = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
}
IMAGE_TYPES = tuple(_IMAGE_MAGIC)

PDF = "application/pdf"
TEXT_TYPES = ("application/json", "application/xml", "application/x-ipynb+json")

#: The model's API refuses larger ones.
MOST_IMAGE_BYTES = 5 * 2**20
MOST_PDF_BYTES = 32 * 2**20

#: The data of a data URI begin within these.
MOST_HEAD_CHARACTERS = 500

_DATA_URI = re.compile(
    r"data:(?P<type>[\w/+.-]*)(?:;[\w-]+=[^;,]*)*;base64,", re.IGNORECASE
)


def is_remote(url: str) -> bool:
    """Whether `url` would have to be fetched."""
    return url[:8].lower().startswith(("http://", "https://"))


def image_block(url: str, path: str) -> ContentBlock:
    """The image of a data URI, its type as its first bytes tell it.

    Raises
    ------
    InvalidRequest
        It is none, or none that the model takes; `path` names the field.
    """
    if is_remote(url):
        raise InvalidRequest(
            f"`{path}`: This gateway fetches no remote images. Send a data URI, "
            "`data:image/png;base64,…`, or set ImageFetcher.enabled on the server.",
            param=path,
            code="invalid_image_url",
        )
    match = _data_uri(url)
    if match is None:
        raise InvalidRequest(
            f"`{path}` must be a data URI, `data:image/png;base64,…`.",
            param=path,
            code="invalid_image_url",
        )
    data = url[match.end() :]
    content = _decoded(data, path, "invalid_image")
    media_type = image_type(content)
    if media_type is None:
        raise InvalidRequest(
            f"`{path}` is none of {', '.join(IMAGE_TYPES)}.",
            param=path,
            code="invalid_image_format",
        )
    _check_size(len(content), MOST_IMAGE_BYTES, path, "image_too_large")
    source = {"type": "base64", "media_type": media_type, "data": data}
    return {"type": "image", "source": source}


def image_type(content: bytes) -> str | None:
    """The media type of an image, None where the model takes none such."""
    for media_type, magic in _IMAGE_MAGIC.items():
        if magic.match(content):
            return media_type
    return None


def file_block(file: FileData, path: str) -> ContentBlock:
    """The document that a file part brings: a PDF, or text.

    Raises
    ------
    InvalidRequest
        It brings none, or one of another type; `path` names the part.
    """
    if file.file_id is not None or file.file_data is None:
        raise InvalidRequest(
            f"`{path}.file_data`: There is no store of files here: send the file "
            "itself, as a data URI.",
            param=f"{path}.file_data",
        )
    path = f"{path}.file_data"
    match = _data_uri(file.file_data)
    data = file.file_data[match.end() :] if match else file.file_data
    guessed, _ = mimetypes.guess_type(file.filename or "")
    media_type = (match["type"].lower() if match else "") or guessed or ""
    content = _decoded(data, path, "invalid_file")
    if content.startswith(b"%PDF-"):
        _check_size(len(content), MOST_PDF_BYTES, path, "file_too_large")
        source = {"type": "base64", "media_type": PDF, "data": data}
    else:
        text = _text_in(content, media_type, path)
        source = {"type": "text", "media_type": "text/plain", "data": text}
    block: ContentBlock = {"type": "document", "source": source}
    if file.filename:
        block["title"] = file.filename
    return block


def _data_uri(text: str) -> re.Match[str] | None:
    """How a data URI begins; None if `text` is none."""
    return _DATA_URI.match(text, 0, MOST_HEAD_CHARACTERS)


def _text_in(content: bytes, media_type: str, path: str) -> str:
    is_text = media_type.startswith("text/") or media_type in TEXT_TYPES
    try:
        text = content.decode() if is_text or not media_type else ""
    except UnicodeDecodeError:
        text = ""
    if not text.strip():
        raise InvalidRequest(
            f"`{path}`: only PDF files, and text in UTF-8 that is not empty, can be "
            "sent.",
            param=path,
            code="invalid_file",
        )
    return text


def _decoded(data: str, path: str, code: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(
            f"`{path}`: not valid base64.", param=path, code=code
        ) from None


def _check_size(size: int, most: int, path: str, code: str) -> None:
    if size > most:
        raise InvalidRequest(
            f"`{path}` has {size} bytes; the model takes {most} at most.",
            param=path,
            code=code,
        )
