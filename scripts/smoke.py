"""Send a few requests to a running gateway: `smoke.py BASE_URL`.

The key is in OPENAI_API_KEY. The requests use the login of the gateway's CLI, and cost
a few tokens.
"""

from __future__ import annotations

import os
import sys
import time

import openai


def main(base_url: str) -> None:
    """List the models, and get one whole and one streamed answer."""
    key = os.environ.get("OPENAI_API_KEY", "none")
    client = openai.OpenAI(base_url=base_url, api_key=key)
    models = [model.id for model in client.models.list()]
    print("models:  ", ", ".join(models))
    name = os.environ.get("MODEL", "haiku")
    question = {"role": "user", "content": "Count from 1 to 5, digits only."}
    whole = client.chat.completions.create(model=name, messages=[question])
    print("whole:   ", whole.model, repr(whole.choices[0].message.content))
    print("usage:   ", whole.usage)
    began = time.monotonic()
    print("streamed: ", end="")
    stream = client.chat.completions.create(
        model=name, messages=[question], stream=True
    )
    first = None
    for chunk in stream:
        text = chunk.choices[0].delta.content if chunk.choices else None
        if text:
            first = first or time.monotonic() - began
            print(text, end="", flush=True)
    print(f"\nfirst token after {first or 0:.2f} s")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except openai.APIConnectionError:
        sys.exit(f"no gateway answers at {sys.argv[1]}: start it with `make start`")
    except openai.APIError as error:
        sys.exit(f"{type(error).__name__}: {error.message}")
