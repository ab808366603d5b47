from __future__ import annotations

import base64

import pytest

from claude_nb_gateway.errors import InvalidRequest
from claude_nb_gateway.wire.chat.attachments import (
    MOST_IMAGE_BYTES,
    file_block,
    image_block,
)
from claude_nb_gateway.wire.chat.types import FileData

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20


def uri(content, media_type="image/png"):
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0rest", "image/jpeg"),
        (b"GIF89arest", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPrest", "image/webp"),
    ],
)
def test_type_of_an_image_is_that_of_its_bytes(content, media_type):
    block = image_block(uri(content, "image/jpg"), "field")
    assert block["source"]["media_type"] == media_type
    assert base64.b64decode(block["source"]["data"]) == content


@pytest.mark.parametrize(
    ("url", "code"),
    [
        (uri(b"<svg/>", "image/svg+xml"), "invalid_image_format"),
        (uri(PNG + b"0" * MOST_IMAGE_BYTES), "image_too_large"),
        ("data:image/png;base64,???", "invalid_image"),
        ("https://example.org/x.png", "invalid_image_url"),
        ("/etc/passwd", "invalid_image_url"),
        (uri(PNG, "image/" + "x" * 500), "invalid_image_url"),
        ("data:" + "x" * 10_000_000, "invalid_image_url"),
    ],
)
def test_images_that_cannot_be_sent_are_refused(url, code):
    with pytest.raises(InvalidRequest) as error:
        image_block(url, "field")
    assert error.value.param == "field"
    assert error.value.code == code


def test_pdf_is_a_document():
    block = file_block(FileData(uri(b"%PDF-1.7 x", "application/pdf"), "a.pdf"), "f")
    assert block["source"]["media_type"] == "application/pdf"
    assert block["title"] == "a.pdf"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (uri("a çedilla".encode(), "text/plain"), None),
        (uri("a çedilla".encode(), "text/x-python;charset=utf-8"), "a.py"),
        (base64.b64encode("a çedilla".encode()).decode(), "a.csv"),
    ],
)
def test_text_is_a_document(data, name):
    source = file_block(FileData(data, name), "f")["source"]
    assert source == {
        "type": "text",
        "media_type": "text/plain",
        "data": "a çedilla",
    }


@pytest.mark.parametrize(
    "file",
    [
        FileData(file_id="file-1"),
        FileData(),
        FileData("???"),
        FileData(uri(b"PK\x03\x04", "application/zip"), "a.zip"),
        FileData(uri(b"\xff\xfe", "text/plain")),
        FileData(uri(b"  ", "text/plain")),
    ],
)
def test_other_files_are_refused(file):
    with pytest.raises(InvalidRequest) as error:
        file_block(file, "part.file")
    assert error.value.param == "part.file.file_data"
