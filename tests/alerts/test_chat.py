"""Chats by apprise: through its real json:// to a real receiver; what went wrong is told without the URL's tokens."""

from __future__ import annotations

import pytest

from costmeter.alerts.chat import ChatChannel
from costmeter.core.errors import InputError, UnreachableError
from costmeter.core.notices import as_text
from tests.alerts.messages import a_message
from tests.alerts.receivers import Hook, hang_up_at_once, stall


def channel(hook: Hook, seconds: float = 20.0) -> ChatChannel:
    return ChatChannel("team", hook.url.replace("http://", "json://user:tok-en@"), seconds=seconds)


@pytest.mark.parametrize(("event", "kind"), [("raised", "warning"), ("recovered", "success"), ("digest", "info")])
def test_a_message_arrives_as_it_is(hook: Hook, event: str, kind: str) -> None:
    message = a_message(event=event)
    channel(hook).send(message)
    body = hook.posts[0].json
    assert (body["title"], body["message"], body["type"]) == (message.title, as_text(message).strip(), kind)


@pytest.mark.parametrize("status", [302, 404, 410, 429, 500])
def test_what_is_not_accepted_is_tried_again_and_told_without_the_url(hook: Hook, status: int) -> None:
    hook.answers = [status]
    with pytest.raises(UnreachableError, match=rf"^JSON answers {status}$"):
        channel(hook).send(a_message())
    assert "tok" not in repr(channel(hook))
    assert len(hook.posts) == 1


def test_a_receiver_that_stalls_is_left(hook: Hook) -> None:
    hook.answers = [stall]
    with pytest.raises(UnreachableError, match=r"^JSON did not accept it: timeout$"):
        channel(hook, seconds=0.5).send(a_message())


def test_a_receiver_that_hangs_up_or_is_not_there_is_tried_again(hook: Hook) -> None:
    hook.answers = [hang_up_at_once]
    with pytest.raises(UnreachableError, match=r"^JSON did not accept it: failure$"):
        channel(hook).send(a_message())
    with pytest.raises(UnreachableError, match=r"^JSON did not accept it: failure$"):
        ChatChannel("team", "json://127.0.0.1:1/token").send(a_message())


@pytest.mark.parametrize(
    "url", ["", "nonsense://secret-token", "slack://secret-token", "https://example.com/secret-token"]
)
def test_a_url_that_apprise_does_not_know_is_refused_without_being_told(url: str) -> None:
    with pytest.raises(InputError, match=r"is no URL of apprise") as raised:
        ChatChannel("team", url)
    assert "secret" not in str(raised.value)
