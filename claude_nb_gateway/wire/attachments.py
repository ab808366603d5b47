"""From images and files of a request to the Messages API's content blocks. Pure.

For what the model accepts see
https://docs.anthropic.com/en/docs/build-with-claude/vision and …/pdf-support.
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
import re
from dataclasses import dataclass

from ..claude_code.turns import ContentBlock
from ..errors import InvalidRequest

#: The first bytes of each type. The type that clients name is often wrong.
_IMAGE_MAGIC = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
}
IMAGE_TYPES = tuple(_IMAGE_MAGIC)

PDF = "application/pdf"
TEXT_TYPES = ("application/json", "application/xml", "application/x-ipynb+json")

#: The model's API refuses larger images.
MOST_IMAGE_BYTES = 5 * 2**20
MOST_PDF_BYTES = 32 * 2**20

#: The part of a data URI before its data must be shorter.
MOST_HEAD_CHARACTERS = 500

_DATA_URI = re.compile(
    r"data:(?P<type>[\w/+.-]*)(?:;[\w-]+=[^;,]*)*;base64,", re.IGNORECASE
)


@dataclass(frozen=True)
class RemoteImage:
    """An image that the gateway has to fetch.

    Parameters
    ----------
    path:
        The field with its address, for errors.
    block:
        Its block in the conversation, with the address as source.
    """

    path: str
    block: ContentBlock

    @property
    def url(self) -> str:
        """The address of the image."""
        return str(self.block["source"]["url"])

    @property
    def is_fetched(self) -> bool:
        """Whether the block has the image itself."""
        return bool(self.block["source"]["type"] == "base64")

    def fill(self, content: bytes, media_type: str) -> None:
        """Replace the address by the image."""
        data = base64.b64encode(content).decode()
        self.block["source"] = _source(media_type, data)


class Images:
    """Makes the blocks of the images of a request; `remote` has those to fetch."""

    def __init__(self) -> None:
        self.remote: list[RemoteImage] = []

    def block(self, url: str, path: str) -> ContentBlock:
        """The image at `url`, a data URI or an address; `path` names the field.

        Raises
        ------
        InvalidRequest
            See `image_block`.
        """
        if url[:8].lower().startswith(("http://", "https://")):
            block = {"type": "image", "source": {"type": "url", "url": url}}
            self.remote.append(RemoteImage(path, block))
            return block
        return image_block(url, path)


def image_block(url: str, path: str) -> ContentBlock:
    """The image in a data URI; its first bytes tell its type.

    Raises
    ------
    InvalidRequest
        It is no image, or not one that the model accepts; `path` names the field.
    """
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
    return {"type": "image", "source": _source(media_type, data)}


def _source(media_type: str, data: str) -> ContentBlock:
    return {"type": "base64", "media_type": media_type, "data": data}


def image_type(content: bytes) -> str | None:
    """The media type of an image; None if the model does not accept it."""
    for media_type, magic in _IMAGE_MAGIC.items():
        if magic.match(content):
            return media_type
    return None


def file_block(data: str | None, name: str | None, path: str) -> ContentBlock:
    """The document of a file: a PDF, or text.

    Parameters
    ----------
    data:
        The file in base64, as a data URI or alone; None where there is none.
    name:
        The file's name.
    path:
        The field with `data`, for errors.

    Raises
    ------
    InvalidRequest
        There is no file, or it has another type.
    """
    if data is None:
        raise InvalidRequest(
            f"`{path}`: There is no store of files here: send the file itself, as a "
            "data URI.",
            param=path,
        )
    match = _data_uri(data)
    data = data[match.end() :] if match else data
    guessed, _ = mimetypes.guess_type(name or "")
    media_type = (match["type"].lower() if match else "") or guessed or ""
    content = _decoded(data, path, "invalid_file")
    if content.startswith(b"%PDF-"):
        _check_size(len(content), MOST_PDF_BYTES, path, "file_too_large")
        source = _source(PDF, data)
    else:
        text = _text_in(content, media_type, path)
        source = {"type": "text", "media_type": "text/plain", "data": text}
    block: ContentBlock = {"type": "document", "source": source}
    if name:
        block["title"] = name
    return block


def _data_uri(text: str) -> re.Match[str] | None:
    """The part of a data URI before its data; None if `text` is no data URI."""
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
