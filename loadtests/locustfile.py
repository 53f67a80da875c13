"""Three locust users, one for each way a real caller spends.

A denial is an answer: it counts as a success, under a name of its own that tells its weightiest
reason. A fault that says `retryable` is tried again under the same idempotency key, as a frontend
does it, and has a row of its own. Every other answer than 200, and a call that fails RETRIES times,
is a failure.
"""

from __future__ import annotations

import itertools
import os
import random
import uuid
from typing import Any

import gevent
import requests
from geventhttpclient.client import HTTPClientPool
from locust import FastHttpUser, between, events, task
from locust.env import Environment
from locust.exception import StopTest
from locust.stats import CSV_STATS_INTERVAL_SEC

from loadtests.customers import draw_subject, set_up
from loadtests.trace import Sizes, read_requests

ADMIN_KEY = os.environ.get("SPENDGATE_ADMIN_KEY", "")
TRACE = read_requests()
CHAT_PRODUCTS = ("gpt-4o", "gpt-4o-mini", "claude-sonnet-5", "gemini-flash-latest")
AGENT_PRODUCTS = ("gpt-5.1", "claude-sonnet-4-5")
EMBEDDING_PRODUCT = "text-embedding-3-small"
OUTPUT_TOKENS_PER_S = 1000
"""How fast a pretended model answers: faster than a real one, so that a minute tells more."""
CHAT_OUTPUT_TOKENS = 512
"""A chat's estimate: most answers are shorter; one in forty is longer and over-captures."""
AGENT_OUTPUT_TOKENS = 64
"""An agent holds and extends by this much."""
HOLD_TTL_S = 60
RETRIES, RETRY_AFTER_S = 5, 0.2
"""Attempts of a call that meets a fault which may pass, and the time between two."""
RETRY: dict[str, Any] = {}
CONNECTIONS = 1000
"""At most so many calls are under way at once; connections are kept, as a service keeps them."""

_seeds = itertools.count(1)


@events.test_start.add_listener
def prepare(environment: Environment, **_: Any) -> None:
    """Create the customers, or end the test: without them every answer is a denial."""
    try:
        set_up(environment.host or "", ADMIN_KEY)
    except requests.RequestException as error:
        environment.process_exit_code = 1
        raise StopTest(f"The customers could not be set up: {error}") from None


@events.quitting.add_listener
def finish(**_: Any) -> None:
    """Let locust write its CSV files once more, with the last answers in them."""
    gevent.sleep(CSV_STATS_INTERVAL_SEC + 1)


class Caller(FastHttpUser):
    """What all callers share: credentials, sizes, and how an answer is judged."""

    abstract = True
    client_pool = HTTPClientPool(concurrency=CONNECTIONS)
    wait_time = between(0.1, 0.5)
    label = ""

    def on_start(self) -> None:
        """Each draws sizes and subjects by a seed of its own; they do not arrive in step."""
        seed = next(_seeds)
        self.chance = random.Random(seed)
        self.sizes = Sizes(TRACE, seed)
        gevent.sleep(self.chance.random())

    def post(self, verb: str, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """The answer, or None for a denial or a failure."""
        headers = {
            "Authorization": f"Bearer {ADMIN_KEY}",
            "Idempotency-Key": uuid.uuid4().hex,
        }
        for left in reversed(range(RETRIES)):
            answer = self._try(f"{self.label} {verb}", path, body, headers, is_last=not left)
            if answer is not RETRY:
                return answer
            gevent.sleep(RETRY_AFTER_S)
        return None

    def _try(
        self, name: str, path: str, body: dict[str, Any], headers: dict[str, str], *, is_last: bool
    ) -> dict[str, Any] | None:
        """One attempt: RETRY where the same call may work later and is not the last."""
        with self.client.post(
            path, json=body, headers=headers, name=name, catch_response=True
        ) as response:
            if response.status_code == 503 and not is_last and response.json()["retryable"]:
                code = response.json()["type"].rpartition(":")[2]
                response.request_meta["name"] = f"{name} (503: {code})"
                response.success()
                return RETRY
            if response.status_code != 200:
                response.failure(f"{response.status_code}: {response.text or response.error}")
                return None
            answer: dict[str, Any] = response.json()
            if answer.get("decision", "allow") != "allow":
                reason = answer["reasons"][0]["code"]
                response.request_meta["name"] = f"{name} ({answer['decision']}: {reason})"
                return None
            return answer

    def hold(self, product: str, subject: dict[str, str], **more: Any) -> str | None:
        """The id of a new hold, or None if it was not allowed."""
        body = {"subject": subject, "product": product, "hold_ttl_s": HOLD_TTL_S, **more}
        answer = self.post("authorize", "/v1/authorize", body)
        return answer["hold"]["id"] if answer else None

    def capture(self, hold: str, input_tokens: int, output_tokens: int) -> None:
        """Settle a hold with what was really used."""
        used = {"input_tokens": input_tokens, "output_tokens": output_tokens}
        self.post("capture", f"/v1/holds/{hold}/capture", {"quantity": used})


class ChatFrontend(Caller):
    """Holds an estimate, waits for the whole answer, captures its true tokens."""

    weight = 5
    label = "chat"

    @task
    def chat(self) -> None:
        """One question and its answer."""
        size = self.sizes.draw()
        estimate = {"input_tokens": size.input_tokens, "output_tokens": CHAT_OUTPUT_TOKENS}
        product = self.chance.choice(CHAT_PRODUCTS)
        hold = self.hold(product, draw_subject(self.chance), quantity=estimate)
        if hold:
            gevent.sleep(size.output_tokens / OUTPUT_TOKENS_PER_S)
            self.capture(hold, size.input_tokens, size.output_tokens)


class StreamingAgent(Caller):
    """Works in runs of several calls; each hold grows with its stream and stops where refused."""

    weight = 2
    label = "agent"

    @task
    def run_steps(self) -> None:
        """One run: caps bound what all its calls may cost together."""
        subject = draw_subject(self.chance)
        run = f"run-{uuid.uuid4().hex}"
        product = self.chance.choice(AGENT_PRODUCTS)
        for _ in range(self.chance.randint(1, 4)):
            self.stream(product, subject, run)

    def stream(self, product: str, subject: dict[str, str], run: str) -> None:
        """One model call, paid while it streams."""
        size = self.sizes.draw()
        first = {"input_tokens": size.input_tokens, "output_tokens": AGENT_OUTPUT_TOKENS}
        hold = self.hold(product, subject, quantity=first, run=run)
        if not hold:
            return
        held = AGENT_OUTPUT_TOKENS
        more = {"quantity": {"output_tokens": AGENT_OUTPUT_TOKENS}, "hold_ttl_s": HOLD_TTL_S}
        while held < size.output_tokens:
            gevent.sleep(AGENT_OUTPUT_TOKENS / OUTPUT_TOKENS_PER_S)
            if not self.post("extend", f"/v1/holds/{hold}/extend", more):
                break
            held += AGENT_OUTPUT_TOKENS
        self.capture(hold, size.input_tokens, min(held, size.output_tokens))


class Embedder(Caller):
    """Knows its cost beforehand: one call that settles itself."""

    weight = 3
    label = "embedder"

    @task
    def embed(self) -> None:
        """One text."""
        body = {
            "subject": draw_subject(self.chance),
            "product": EMBEDDING_PRODUCT,
            "quantity": {"input_tokens": self.sizes.draw().input_tokens},
            "capture": True,
        }
        self.post("authorize", "/v1/authorize", body)
