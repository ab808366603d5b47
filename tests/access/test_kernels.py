from __future__ import annotations

import pytest

from claude_nb_gateway.access.kernels import Kernel, Kernels
from claude_nb_gateway.connection import (
    KERNEL_KEY_PREFIX,
    kernel_id_in,
    key_of_kernel,
    new_kernel_key,
)

pytestmark = pytest.mark.anyio

NOTEBOOKS = {"in-work": "work/a.ipynb", "in-root": "a.ipynb", "console": None}


async def notebook_of(kernel_id):
    return NOTEBOOKS[kernel_id]


@pytest.mark.parametrize(
    ("kernel_id", "directory"),
    [("in-work", "work"), ("in-root", ""), ("console", None)],
)
async def test_key_of_a_kernel_is_for_the_directory_of_its_notebook(
    kernel_id, directory
):
    kernels = Kernels(NOTEBOOKS.__contains__, notebook_of)
    key = key_of_kernel(kernels.key, kernel_id)
    assert await kernels.check(key) == Kernel(directory)


async def test_key_of_a_kernel_that_has_ended_is_known_but_opens_nothing():
    kernels = Kernels(().__contains__, notebook_of)
    key = key_of_kernel(kernels.key, "in-work")
    assert await kernels.check(key) == Kernel(running=False)


@pytest.mark.parametrize("directory", [None, "", "work"])
async def test_key_of_the_runtime_file_opens_what_the_server_says(directory):
    kernels = Kernels(NOTEBOOKS.__contains__, notebook_of, directory)
    assert await kernels.check(kernels.key) == Kernel(directory)


async def test_keys_of_another_server_and_forged_ones_are_refused():
    kernels = Kernels(NOTEBOOKS.__contains__, notebook_of)
    own = key_of_kernel(kernels.key, "in-work")
    for text in (
        "",
        "cnbg_1_2",
        KERNEL_KEY_PREFIX,
        new_kernel_key(),
        key_of_kernel(new_kernel_key(), "in-work"),
        own.replace("in-work", "in-root"),
        own + "ä\ud800",
    ):
        assert await kernels.check(text) is None


def test_id_of_a_kernel_is_read_from_its_key():
    assert kernel_id_in(key_of_kernel(new_kernel_key(), "a-b_c")) == "a-b_c"
    assert kernel_id_in("cnbg_a_b") is None
