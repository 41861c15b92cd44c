"""httpx: Anthropic's stream as it is sent, many requests over one connection, uploads."""

import json

import httpx

NAME = "httpx"
VERSION = httpx.__version__


def client(gateway, token):
    return httpx.Client(base_url=f"http://{gateway}", headers={"authorization": f"Bearer {token}"}, timeout=30)


def streamed(gateway, token):
    """a stream of Anthropic's, event by event"""
    with client(gateway, token).stream("POST", "/v1/messages", json={"stream": True}) as answer:
        assert answer.headers["x-usage-cost"] == "api_calls=50;held", answer.headers
        data = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
    assert data[0]["message"]["usage"]["input_tokens"] == 25, data
    assert data[-1]["type"] == "message_stop", data


def many(gateway, token):
    """fifty answers over one connection"""
    with client(gateway, token) as one:
        for _ in range(50):
            answer = one.post("/v1/chat/completions", json={"model": "fake"})
            assert answer.json()["usage"]["total_tokens"] == 29, answer.text
            assert "content-encoding" not in answer.headers, answer.headers


def uploaded(gateway, token):
    """a long question"""
    question = json.dumps({"model": "fake", "messages": "x" * 3_000_000}).encode()
    with client(gateway, token) as one:
        answer = one.post("/v1/chat/completions", content=question)
        assert answer.status_code == 200, answer.text


CASES = [(streamed, 40), (many, 50 * 29), (uploaded, 29)]
