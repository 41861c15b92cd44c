"""OpenAI's own library: whole answers and streams, and what it makes of refusals."""

import openai

NAME = "openai"
VERSION = openai.__version__

# What is charged where an answer never told its usage.
HOLD = 50
QUESTION = [{"role": "user", "content": "Hi?"}]


def client(gateway, token):
    return openai.OpenAI(base_url=f"http://{gateway}/v1", api_key=token, max_retries=0)


def whole(gateway, token):
    """a whole chat completion"""
    answer = client(gateway, token).chat.completions.create(model="fake", messages=QUESTION)
    assert answer.choices[0].message.content == "Hi", answer
    assert answer.usage.total_tokens == 29, answer


def streamed(gateway, token):
    """a streamed chat completion whose last chunk has the usage"""
    stream = client(gateway, token).chat.completions.create(
        model="fake", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[-1].usage.total_tokens == 29, chunks[-1]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "total_tokens" in text, text


def responses(gateway, token):
    """a streamed response"""
    events = list(client(gateway, token).responses.create(model="fake", input="Hi?", stream=True))
    assert events[-1].type == "response.completed", events
    assert events[-1].response.usage.total_tokens == 48, events


def left(gateway, token):
    """a stream that the client leaves"""
    stream = client(gateway, token).chat.completions.create(model="endless", messages=QUESTION, stream=True)
    assert next(iter(stream)).choices[0].delta.content == "more"
    stream.close()


def raised(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind}")


def failed(gateway, token):
    """an answer that is an error of the API, which is free"""
    chat = client(gateway, token).chat.completions
    error = raised(openai.InternalServerError, lambda: chat.create(model="broken", messages=QUESTION))
    assert error.status_code == 500, error


def nobody(gateway, _token):
    """a token that is none"""
    chat = client(gateway, "a.b.c").chat.completions
    error = raised(openai.AuthenticationError, lambda: chat.create(model="fake", messages=QUESTION))
    assert error.response.json()["code"] == "token_invalid", error


def refused(gateway, token):
    """a rate that is exceeded"""
    chat = client(gateway, token)
    chat.models.list()
    error = raised(openai.RateLimitError, lambda: chat.models.list())
    assert error.response.json()["code"] == "rate_limited", error
    assert int(error.response.headers["retry-after"]) > 0, error


CASES = [
    (whole, 29),
    (streamed, 29),
    (responses, 48),
    (left, HOLD),
    (failed, 0),
    (nobody, 0),
    (refused, 0),
]
