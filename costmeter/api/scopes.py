"""The parameters of a request that ask for a scope."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

Text = str | None
From = Annotated[Text, Query(alias="from", description="calls completed from this instant on")]
To = Annotated[Text, Query(alias="to", description="calls completed before this instant")]
Where = Annotated[list[str] | None, Query(description="only calls where KEY=VALUE; may be repeated")]
