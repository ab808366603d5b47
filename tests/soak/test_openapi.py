"""Whatever the OpenAPI document allows is answered as it says."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import (
    positive_data_acceptance,
    unsupported_method,
)

from claude_nb_gateway.api.routes import document

pytestmark = pytest.mark.soak


schema = schemathesis.openapi.from_dict(document())


@schema.parametrize()
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@pytest.mark.timeout(600)
def test_answers_are_as_documented(case, gateway):
    # What is valid in its shape may still be refused, with a reason.
    excluded = [positive_data_acceptance]
    if case.operation.path.startswith("/v1/projects/{project}/"):
        # A method that the API has not is about the directory of this name.
        excluded.append(unsupported_method)
    case.call_and_validate(
        excluded_checks=excluded,
        base_url=gateway.base_url.removesuffix("/v1"),
        headers={"Authorization": f"Bearer {gateway.key}"},
    )
