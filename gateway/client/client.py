"""An asynchronous client with safe retries. It needs only aiohttp and msgspec."""

from __future__ import annotations

import asyncio
import secrets
from types import TracebackType
from typing import Any

import aiohttp
import msgspec

RETRIES = 4
FIRST_PAUSE_S = 0.05


class Problem(Exception):
    """The gateway answered with a fault. `code` is the last part of the problem's type."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(f"{status}: {body.get('detail', body)}")
        self.status = status
        self.code = str(body.get("type", "")).rpartition(":")[2]
        self.body = body


class Denied(Exception):
    """A request was not allowed; `answer` is the whole decision."""

    def __init__(self, answer: dict[str, Any]) -> None:
        reasons = ", ".join(reason["code"] for reason in answer["reasons"])
        super().__init__(f"denied: {reasons}")
        self.answer = answer


class Spendgate:
    """A connection to a gateway.

    Every POST carries an idempotency key and is retried when its answer is lost or the gateway is
    out of service for a short time: one effect, however often it was sent.
    """

    def __init__(self, address: str, key: str, *, timeout_s: float = 10.0) -> None:
        self._address = address.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Spendgate:
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector, headers=self._headers, timeout=self._timeout
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(
        self, method: str, path: str, body: Any = None, *, key: str | None = None
    ) -> Any:
        """Any call of the contract: the answer's JSON (None for 204). Raises Problem."""
        headers: dict[str, str] = {}
        if method == "POST":
            headers["Idempotency-Key"] = key or secrets.token_hex(16)
        data = None
        if body is not None:
            data = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        for attempt in range(RETRIES + 1):
            try:
                return await self._once(method, path, data, headers)
            except (aiohttp.ClientError, TimeoutError):
                if attempt == RETRIES:
                    raise
            except Problem as problem:
                if problem.status != 503 or attempt == RETRIES:
                    raise
            await asyncio.sleep(FIRST_PAUSE_S * 2**attempt)
        raise AssertionError("unreachable")

    async def _once(self, method: str, path: str, data: bytes | None, headers: Any) -> Any:
        assert self._session is not None, "use it as 'async with Spendgate(…) as gateway'"
        url = self._address + path
        async with self._session.request(method, url, data=data, headers=headers) as response:
            raw = await response.read()
            answer = msgspec.json.decode(raw) if raw else None
            if response.status >= 400:
                raise Problem(response.status, answer if isinstance(answer, dict) else {})
            return answer

    async def authorize(
        self, subject: dict[str, str], product: str, *, key: str | None = None, **more: Any
    ) -> dict[str, Any]:
        """The decision on a request; `more` are the other members of the contract's body."""
        body = {"subject": subject, "product": product, **more}
        answer: dict[str, Any] = await self.call("POST", "/v1/authorize", body, key=key)
        return answer

    async def allowed(
        self, subject: dict[str, str], product: str, *, key: str | None = None, **more: Any
    ) -> dict[str, Any]:
        """As authorize, but raises Denied unless the request may go ahead."""
        answer = await self.authorize(subject, product, key=key, **more)
        if answer["decision"] != "allow":
            raise Denied(answer)
        return answer

    async def capture(self, hold: str, *, key: str | None = None, **use: Any) -> dict[str, Any]:
        """Settle a hold: `quantity=…` or `amount_micros=…`."""
        answer: dict[str, Any] = await self.call("POST", f"/v1/holds/{hold}/capture", use, key=key)
        return answer

    async def extend(self, hold: str, *, key: str | None = None, **more: Any) -> dict[str, Any]:
        """Add to a hold."""
        answer: dict[str, Any] = await self.call("POST", f"/v1/holds/{hold}/extend", more, key=key)
        return answer

    async def release(self, hold: str, *, key: str | None = None) -> dict[str, Any]:
        """Give a hold back."""
        answer: dict[str, Any] = await self.call("POST", f"/v1/holds/{hold}/release", {}, key=key)
        return answer
