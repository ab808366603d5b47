from __future__ import annotations

import base64

import pytest

from claude_nb_gateway.errors import InvalidRequest
from claude_nb_gateway.wire.attachments import (
    MOST_IMAGE_BYTES,
    Images,
    file_block,
    image_block,
)

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
    block = file_block(uri(b"%PDF-1.7 x", "application/pdf"), "a.pdf", "f")
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
    source = file_block(data, name, "f")["source"]
    assert source == {
        "type": "text",
        "media_type": "text/plain",
        "data": "a çedilla",
    }


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (None, None),
        ("???", None),
        (uri(b"PK\x03\x04", "application/zip"), "a.zip"),
        (uri(b"\xff\xfe", "text/plain"), None),
        (uri(b"  ", "text/plain"), None),
    ],
)
def test_other_files_are_refused(data, name):
    with pytest.raises(InvalidRequest) as error:
        file_block(data, name, "part.file_data")
    assert error.value.param == "part.file_data"


@pytest.mark.parametrize("url", ["http://example.org/x.png", "HTTPS://example.org/x"])
def test_remote_images_are_kept_to_be_fetched(url):
    images = Images()
    block = images.block(url, "field")
    (remote,) = images.remote
    assert (remote.path, remote.url, remote.is_fetched) == ("field", url, False)
    remote.fill(PNG, "image/png")
    assert remote.is_fetched
    assert block["source"]["media_type"] == "image/png"
    assert base64.b64decode(block["source"]["data"]) == PNG
