"""Drives a running server with the official openai client (3.54.0). Exit code 0 = everything held."""

import argparse
import sys

import openai


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def check_models(client):
    models = client.models.list().data
    expect(models, "no model is served")
    name = models[0].id
    expect(client.models.retrieve(name).id == name, "retrieve gives another model")
    return name


def check_chat(client, model):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Say hello."}]},
    ]
    asked = dict(model=model, messages=messages, max_tokens=8, temperature=0, seed=1)
    whole = client.chat.completions.create(**asked)
    expect(whole.object == "chat.completion", whole.object)
    expect(whole.choices[0].finish_reason in ("stop", "length"), whole.choices[0].finish_reason)
    usage = whole.usage
    expect(usage.prompt_tokens > 0 and usage.completion_tokens > 0, "usage is empty")
    expect(usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, "usage does not add up")

    text, last, finish = "", None, None
    for chunk in client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}):
        expect(chunk.object == "chat.completion.chunk", chunk.object)
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
        last = chunk
    expect(text == whole.choices[0].message.content, f"stream {text!r} differs from whole answer")
    expect(finish == whole.choices[0].finish_reason, f"stream ends with {finish}")
    expect(last.usage and last.usage.completion_tokens == usage.completion_tokens, "last chunk lacks the usage")

    probed = client.chat.completions.create(**asked, logprobs=True, top_logprobs=2, n=2)
    expect(len(probed.choices) == 2, "n=2 gives other than two choices")
    expect(probed.choices[0].logprobs.content[0].logprob <= 0, "a log-probability is positive")


def check_completions(client, model):
    whole = client.completions.create(model=model, prompt="Once upon", max_tokens=4, temperature=0)
    expect(whole.object == "text_completion", whole.object)
    text = "".join(
        chunk.choices[0].text
        for chunk in client.completions.create(
            model=model, prompt="Once upon", max_tokens=4, temperature=0, stream=True
        )
        if chunk.choices
    )
    expect(text == whole.choices[0].text, f"stream {text!r} differs from {whole.choices[0].text!r}")
    two = client.completions.create(model=model, prompt=["a", "b"], max_tokens=2)
    expect([c.index for c in two.choices] == [0, 1], "two prompts give other than choices 0 and 1")


def check_errors(client, model):
    user = [{"role": "user", "content": "hi"}]
    try:
        client.chat.completions.create(model="no-such-model", messages=user)
        expect(False, "an unknown model was accepted")
    except openai.NotFoundError as e:
        expect(e.code == "model_not_found", e.code)
    for extra, param in (
        ({"temperature": 99}, "temperature"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"extra_body": {"nonsense": 1}}, "nonsense"),
    ):
        try:
            client.chat.completions.create(model=model, messages=user, **extra)
            expect(False, f"{param} was accepted")
        except openai.BadRequestError as e:
            expect(e.param == param and e.type == "invalid_request_error", f"{e.param} {e.type}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", required=True, help="http://HOST:PORT/v1")
    parser.add_argument("--api-key", default="none")
    arguments = parser.parse_args()
    with openai.OpenAI(base_url=arguments.base_url, api_key=arguments.api_key, max_retries=0) as client:
        model = check_models(client)
        check_chat(client, model)
        check_completions(client, model)
        check_errors(client, model)
    print(f"openai {openai.__version__}: models, chat, completions and errors hold for {model}")


if __name__ == "__main__":
    try:
        main()
    except (AssertionError, openai.OpenAIError) as failure:
        sys.exit(f"FAILED: {failure}")
