"""Types of the members of request bodies, with their bounds and units."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta

from gateway.core.money import MAX_MICROS
from gateway.wire.ids import END

MadeId = Annotated[str, Meta(pattern=r"^[a-z]{3,5}_[0-9A-Za-z]{1,64}" + END)]
Micros = Annotated[int, Meta(ge=0, le=MAX_MICROS, description="Micro-units of a currency.")]
PositiveMicros = Annotated[int, Meta(gt=0, le=MAX_MICROS, description="Micro-units of a currency.")]
SignedMicros = Annotated[int, Meta(ge=-MAX_MICROS, le=MAX_MICROS)]
Count = Annotated[int, Meta(ge=0, le=MAX_MICROS)]
Bps = Annotated[int, Meta(ge=0, le=10_000)]
Time = Annotated[datetime, Meta(tz=True)]
HoldTtl = Annotated[int, Meta(ge=1, le=2_592_000)]
WITHOUT_NUL = r"^[^\x00]*" + END  # databases differ in it
Text = Annotated[str, Meta(max_length=1024, pattern=WITHOUT_NUL)]
Short = Annotated[str, Meta(max_length=256, pattern=WITHOUT_NUL)]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}" + END)]
Unit = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}" + END)]
Score = Annotated[float, Meta(gt=0, le=1)]
Percent = Annotated[int, Meta(ge=1, le=1000)]
Units = Annotated[list[Unit], Meta(min_length=1, max_length=20)]
RateUnit = Literal["requests", "tokens", "concurrent"]
WindowS = Annotated[int, Meta(ge=1, le=31 * 86400)]
Quantity = dict[str, Count]
TagName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,40}" + END)]
Tags = Annotated[
    dict[TagName, Annotated[str, Meta(min_length=1, max_length=128, pattern=WITHOUT_NUL)]],
    Meta(max_length=8),
]
MetadataName = Annotated[
    str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]*" + END)
]
Metadata = Annotated[
    dict[MetadataName, Annotated[str, Meta(max_length=512, pattern=WITHOUT_NUL)]],
    Meta(max_length=50),
]
Country = Annotated[str, Meta(pattern=r"^[A-Za-z]{2}" + END)]
Scope = Literal["authorize", "read", "admin", "risk", "finance"]
Prices = dict[Unit, Micros]
Patch = dict[str, Any]
"""A JSON merge patch (RFC 7396) of an object: its members as in the body of its PUT."""
