"""What is sent on, at most how much it can cost, and what was used: by API."""

import gzip
import json
import tracemalloc

import pytest

from ganger.gateway.apis import APIS, FRAME_TOKENS, Unfit, key_of
from ganger.gateway.meter import Meter, refusal_of
from ganger.gateway.prices import Tokens

MESSAGES, RESPONSES, CHAT = "/v1/messages", "/v1/responses", "/v1/chat/completions"
GEMINI = "/v1beta/models/gemini-2.5-pro:streamGenerateContent"


NAMED = {"type": "namespace", "tools": [{"type": "function"}]}
NAMED_ELSEWHERE = {"type": "namespace", "tools": [{"type": "mcp"}]}


def read(api, path, **fields):
    return APIS[api].read(path, json.dumps(fields).encode())


@pytest.mark.parametrize(
    ("api", "what", "kind"),
    [
        ("anthropic", "POST /v1/messages", "paid"),
        ("anthropic", "POST /v1/messages/count_tokens", "free"),
        ("anthropic", "GET /v1/models", "free"),
        ("anthropic", "POST /v1/messages/batches", ""),
        ("anthropic", "POST /v1/messages/../files", ""),
        ("anthropic", "GET /v1/messages", ""),
        ("anthropic", "POST //v1/messages", ""),
        ("anthropic", "POST http://evil.test/v1/messages", ""),
        ("anthropic", "POST /v1/messages\n", ""),
        ("anthropic", "HEAD /v1/models", ""),
        ("anthropic", "GET /v1/models/..", ""),
        ("gemini", "GET /v1/models/..", ""),
        ("openai", "POST /v1/responses", "paid"),
        ("openai", "POST /v1/chat/completions", "paid"),
        ("openai", "POST /v1/images/generations", ""),
        ("openai", "DELETE /v1/models/x", ""),
        ("gemini", f"POST {GEMINI}", "paid"),
        ("gemini", "POST /v1beta/models/g:generateContent", "paid"),
        ("gemini", "POST /v1beta/models/g:countTokens", "free"),
        ("gemini", "POST /v1beta/models/g:batchGenerateContent", ""),
        ("gemini", "POST /upload/v1beta/files", ""),
    ],
)
def test_calls_that_are_known(api, what, kind):
    found = "paid" if APIS[api].paid.fullmatch(what) else "free" if APIS[api].free.fullmatch(what) else ""
    assert found == kind


@pytest.mark.parametrize(
    ("api", "path", "fields", "output_max", "answers", "refers"),
    [
        ("anthropic", MESSAGES, {"model": "m", "max_tokens": 9}, 9, 1, False),
        ("anthropic", MESSAGES, {"model": "m", "messages": [{"content": [{"type": "image"}]}]}, None, 1, True),
        ("anthropic", MESSAGES, {"model": "m", "tools": [{"name": "x", "image": {}}]}, None, 1, False),
        ("anthropic", MESSAGES, {"model": "m", "tools": [{"name": "Bash"}, {"type": "bash_20250124"}]}, None, 1, False),
        ("openai", RESPONSES, {"model": "m", "max_output_tokens": 8}, 8, 1, False),
        ("openai", RESPONSES, {"model": "m", "previous_response_id": "r"}, None, 1, True),
        ("openai", RESPONSES, {"model": "m", "previous_response_id": None}, None, 1, False),
        ("openai", RESPONSES, {"model": "m", "tools": [NAMED]}, None, 1, False),
        ("openai", CHAT, {"model": "m", "max_tokens": 8, "n": 3}, 8, 3, False),
        ("gemini", GEMINI, {"generationConfig": {"maxOutputTokens": 5, "candidateCount": 2}}, 5, 2, False),
        ("gemini", GEMINI, {"tools": [{"functionDeclarations": []}], "cachedContent": "c"}, None, 1, True),
    ],
)  # fmt: skip
def test_what_a_request_can_cost(api, path, fields, output_max, answers, refers):
    call = read(api, path, **fields)
    assert (call.output_max, call.answers, call.refers) == (output_max, answers, refers)
    assert call.tokens_in_max(10**6) == (10**6 if refers else len(json.dumps(fields)) + FRAME_TOKENS)
    assert call.tokens_in_max(10) == 10


@pytest.mark.parametrize(
    ("api", "path", "body", "why"),
    [
        ("anthropic", MESSAGES, b"{", "not JSON"),
        ("anthropic", MESSAGES, b"[" * 100_000, "not a JSON object"),
        ("anthropic", MESSAGES, b"[]", "not a JSON object"),
        ("anthropic", MESSAGES, b'{"x":' + b"[" * 100_000, "not JSON"),
        ("anthropic", MESSAGES, b'{"model":"m"} {"model":"x"}', "not JSON"),
        ("anthropic", MESSAGES, gzip.compress(b'{"model":"m"}', mtime=0), "not JSON"),
        ("anthropic", MESSAGES, b"{}", "names no model"),
        ("anthropic", MESSAGES, b'{"model": "m", "max_tokens": -1}', "`max_tokens` is not"),
        ("anthropic", MESSAGES, b'{"model": "m", "max_tokens": true}', "`max_tokens` is not"),
        ("openai", RESPONSES, b'{"model": "m", "background": true}', "background"),
        ("openai", CHAT, b'{"model": "m", "n": 1e3}', "`n` is not"),
        ("openai", CHAT, b'{"model": "m", "n": 9223372036854775807}', "`n` is not"),
        ("openai", CHAT, b'{"model": "m", "max_completion_tokens": 90000, "max_output_tokens": 1}', "different things"),
        ("openai", CHAT, b'{"model": "m", "max_completion_tokens": 1, "max_tokens": 90000}', "different things"),
        ("gemini", GEMINI, b'{"generationConfig": {"maxOutputTokens": 1, "max_output_tokens": 9}}', "different things"),
        ("gemini", GEMINI, b'{"generationConfig": {"maxOutputTokens": 1}, "generation_config": {}}', "there twice"),
        ("gemini", GEMINI, b'{"generationConfig": 3}', "not an object"),
        ("gemini", GEMINI, b'{"tools": "x"}', "not a list"),
    ],
)  # fmt: skip
def test_what_cannot_be_bounded_is_not_sent_on(api, path, body, why):
    with pytest.raises(Unfit, match=why):
        APIS[api].read(path, body)


@pytest.mark.parametrize(
    ("api", "path", "fields", "bound", "expected"),
    [
        ("anthropic", MESSAGES, {"model": "m", "max_tokens": 90, "stream": True}, 7, {"max_tokens": 7}),
        ("anthropic", MESSAGES, {"model": "m", "thinking": {"type": "enabled", "budget_tokens": 9}}, 7,
         {"max_tokens": 7, "thinking": {"type": "disabled"}}),
        ("openai", RESPONSES, {"model": "m"}, 7, {"max_output_tokens": 7}),
        ("openai", CHAT, {"model": "m", "max_tokens": 9}, 7, {"max_tokens": 7}),
        ("openai", CHAT, {"model": "m", "max_tokens": 9, "max_completion_tokens": 9}, 7,
         {"max_tokens": 7, "max_completion_tokens": 7}),
        ("openai", CHAT, {"model": "m", "stream": True}, 7,
         {"max_completion_tokens": 7, "stream_options": {"include_usage": True}}),
        ("openai", CHAT, {"model": "m", "stream": True, "stream_options": {"x": 1}}, None,
         {"stream_options": {"x": 1, "include_usage": True}}),
        ("gemini", GEMINI, {"generation_config": {"max_output_tokens": 9, "topK": 1}}, 7,
         {"generationConfig": {"topK": 1, "maxOutputTokens": 7}}),
    ],
)  # fmt: skip
def test_less_is_let_come_out(api, path, fields, bound, expected):
    sent = json.loads(APIS[api].bound(path, read(api, path, **fields), bound))
    assert sent == {name: value for name, value in fields.items() if name != "generation_config"} | expected


@pytest.mark.parametrize(
    ("api", "path", "tools", "kept"),
    [
        ("anthropic", MESSAGES, [{"name": "x"}, {"type": "web_search_20250305"}], [{"name": "x"}]),
        ("anthropic", MESSAGES, [{"type": "code_execution_20250522"}], None),
        ("openai", RESPONSES, [{"type": "web_search"}, NAMED, NAMED_ELSEWHERE], [NAMED]),
        ("openai", CHAT, ["odd", {"type": "function"}], [{"type": "function"}]),
        ("gemini", GEMINI, [{"googleSearch": {}}, {"functionDeclarations": []}], [{"functionDeclarations": []}]),
    ],
)
def test_tools_of_the_provider_are_taken_out_where_there_is_a_limit(api, path, tools, kept):
    call = read(api, path, model="m", tools=tools)
    assert json.loads(call.plain().body).get("tools") == kept
    assert call.plain().plain().body == call.plain().body


@pytest.mark.parametrize(
    ("api", "path", "dearer"),
    [
        ("anthropic", MESSAGES, {"speed": "fast", "service_tier": "auto", "inference_geo": "us"}),
        ("anthropic", MESSAGES, {"mcp_servers": [{"url": "https://x.test"}]}),
        ("openai", RESPONSES, {"service_tier": "priority"}),
        ("openai", CHAT, {"prediction": {"type": "content", "content": "x"}, "web_search_options": {}}),
    ],
)
def test_what_costs_more_than_the_price_is_taken_out_where_there_is_a_limit(api, path, dearer):
    assert json.loads(read(api, path, model="m", temperature=0.5, **dearer).plain().body) == {
        "model": "m", "temperature": 0.5
    }  # fmt: skip


@pytest.mark.parametrize(
    ("api", "path", "body", "sent"),
    [
        ("anthropic", MESSAGES, b'{"model":"m","max_tokens":9000000,"max_tokens":5}', {"model": "m", "max_tokens": 5}),
        ("anthropic", MESSAGES, b'{"model":"dear","max_tokens":5,"\\u006dodel":"m"}', {"model": "m", "max_tokens": 5}),
        ("openai", CHAT, b'{"model":"m","n":128,"n":1}', {"model": "m", "n": 1}),
        ("gemini", GEMINI, b'{"generationConfig":{"maxOutputTokens":99,"maxOutputTokens":5}}',
         {"generationConfig": {"maxOutputTokens": 5}}),
    ],
)  # fmt: skip
def test_what_is_said_twice_is_sent_once_where_there_is_a_limit(api, path, body, sent):
    call = APIS[api].read(path, body).plain()
    assert json.loads(call.body, object_pairs_hook=list) == json.loads(json.dumps(sent), object_pairs_hook=list)
    assert APIS[api].bound(path, call, None) == call.body


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","messages":[{"content":[{"\\u0074ype":"image","source":{"type":"url"}}]}]}',
        b'{"model":"m","messages":[{"content":[{"type":"doc\\u0075ment","source":{"type":"url"}}]}]}',
        b'{"model":"m","messages":[{"content":[{"x":"\\\\","t\\u0079pe":"image"}]}]}',
        b'{"model":"m","messages":"' + b"\\u0061" * 30_000 + b'"}',
    ],
)
def test_a_picture_is_found_however_its_type_is_written(body):
    assert APIS["anthropic"].read(MESSAGES, body).refers


def test_a_text_about_escapes_is_no_picture():
    body = json.dumps({"model": "m", "messages": r'{"\u0074ype": "im\u0061ge"} \\u0061 "type":"image"'}).encode()
    assert not APIS["anthropic"].read(MESSAGES, body).refers


def test_what_a_request_says_is_not_taken_apart():
    many = b"[" + b"[]," * 1_000_000 + b"[]]"
    tracemalloc.start()
    call = APIS["anthropic"].read(MESSAGES, b'{"model":"m","messages":' + many + b"}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * len(many)
    assert json.loads(call.plain().body)["messages"][-1] == []
    with pytest.raises(Unfit, match="4 MiB beside"):
        APIS["anthropic"].read(MESSAGES, b'{"model":"m","tools":' + b"[" + b"[]," * 2_000_000 + b"[]]}")


@pytest.mark.parametrize("api", APIS)
def test_without_a_limit_a_request_is_sent_as_it_came(api):
    body = b'{ "model":"m",   "x": 1.50 }'
    path = {"anthropic": MESSAGES, "openai": RESPONSES, "gemini": GEMINI}[api]
    assert APIS[api].bound(path, APIS[api].read(path, body), None) == body


ANSWERS = {
    "anthropic": (
        [
            {"type": "message_start", "message": {"usage": {"input_tokens": 9, "cache_read_input_tokens": 4,
             "cache_creation_input_tokens": 2, "output_tokens": 1}}},
            {"type": "content_block_delta", "delta": {"text": '"usage": {"output_tokens": 999}'}},
            {"type": "message_delta", "usage": {"output_tokens": 33}},
            {"type": "message_stop"},
        ],
        Tokens(9, 4, 2, 33),
    ),
    "openai": (
        [
            {"type": "response.created", "response": {"usage": None}},
            {"type": "response.completed", "response": {"usage": {"input_tokens": 9, "output_tokens": 3,
             "input_tokens_details": {"cached_tokens": 4}}}},
        ],
        Tokens(5, 4, 0, 3),
    ),
    "gemini": (
        [
            {"candidates": [{"content": {}}], "usageMetadata": {"promptTokenCount": 9}},
            {"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 9,
             "candidatesTokenCount": 2, "thoughtsTokenCount": 5, "cachedContentTokenCount": 3}},
        ],
        Tokens(6, 3, 0, 7),
    ),
}  # fmt: skip


def metered(api, data, size, *, streams=True):
    meter = Meter(APIS[api], streams=streams)
    for at in range(0, len(data), size):
        meter.feed(data[at : at + size])
    meter.end()
    return meter


@pytest.mark.parametrize("api", ANSWERS)
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n"])
def test_what_a_stream_used(api, size, end):
    messages, used = ANSWERS[api]
    data = "".join(f"event: x{end[: len(end) // 2]}data: {json.dumps(one)}{end}" for one in messages).encode()
    meter = metered(api, data, size)
    assert (meter.used, meter.is_told) == (used, True)
    cut = metered(api, data[: data.rindex(b"data:")], size)
    assert not cut.is_told


def test_a_chat_is_told_by_its_last_piece():
    last = b'data: {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}'
    data = b'data: {"choices": [{}], "usage": null}\n\n' + last + b"\n\ndata: [DONE]\n\n"
    meter = metered("openai", data, 9)
    assert (meter.used, meter.is_told) == (Tokens(5, 0, 0, 2), True)


@pytest.mark.parametrize(
    ("api", "messages", "is_told"),
    [
        ("anthropic", [{"type": "message_start", "message": {}}, {"type": "message_stop"}], False),
        ("openai", [{"type": "response.completed", "response": {}}], False),
        ("openai", [{"type": "response.incomplete", "response": {"usage": None}}], False),
        ("openai", [{"type": "response.failed", "response": {"usage": None}}], True),
        ("openai", [{"choices": [{"finish_reason": "stop"}]}], False),
        ("gemini", [{"candidates": [{"finishReason": "STOP"}]}], False),
    ],
)
def test_a_stream_that_ends_without_a_word_of_what_it_used_has_told_nothing(api, messages, is_told):
    data = "".join(f"data: {json.dumps(one)}\n\n" for one in messages).encode()
    meter = metered(api, data, 1 << 20)
    assert (meter.used, meter.is_told) == (Tokens(), is_told)


@pytest.mark.parametrize("api", ANSWERS)
def test_what_a_whole_answer_used(api):
    whole = {
        "anthropic": {"usage": {"input_tokens": 9, "output_tokens": 3}},
        "openai": {"usage": {"prompt_tokens": 9, "completion_tokens": 3}},
        "gemini": [{"usageMetadata": {"promptTokenCount": 9}}, {"usageMetadata": {"candidatesTokenCount": 3}}],
    }[api]
    meter = metered(api, json.dumps(whole).encode(), 5, streams=False)
    assert (meter.used, meter.is_told) == (Tokens(9, 0, 0, 3), True)
    assert not metered(api, b'{"error": {}}', 5, streams=False).is_told
    assert not metered(api, b"<html>", 5, streams=False).is_told


NOW = 1_763_730_000_000


@pytest.mark.parametrize(
    ("status", "headers", "found"),
    [
        (200, {"retry-after": "5"}, None),
        (400, {}, None),
        (429, {}, (0, False)),
        (429, {"retry-after": "30"}, (NOW + 30_000, True)),
        (429, {"retry-after": "1.5"}, (NOW + 1_500, True)),
        (429, {"retry-after": "3600"}, (NOW + 3_600_000, False)),
        (429, {"retry-after": "Fri, 21 Nov 2025 14:00:00 GMT"}, (1_763_733_600_000, False)),
        (429, {"anthropic-ratelimit-tokens-reset": "2025-11-21T14:00:00Z"}, (1_763_733_600_000, False)),
        (429, {"x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-reset-requests": "350ms"}, (NOW + 360_000, False)),
        (429, {"retry-after": "soon"}, (0, False)),
        (429, {"x-ratelimit-reset-tokens": "9" * 400}, (0, False)),
        (529, {}, (0, True)),
        (503, {"retry-after": "7200"}, (NOW + 7_200_000, True)),
    ],
)
def test_when_a_provider_is_to_be_asked_again(status, headers, found):
    limited = refusal_of(status, headers, NOW)
    assert (limited and (limited.until_ms, limited.overload)) == found


def test_where_keys_stand():
    assert (
        key_of({"authorization": "Bearer k"}, {}) == key_of({"x-api-key": "k"}, {}) == key_of({}, {"key": "k"}) == "k"
    )
    assert key_of({"authorization": "Basic k"}, {}) == ""
