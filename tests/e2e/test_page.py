# test_page.py - the page in Chromium, over all stages. SPDX-License-Identifier: Apache-2.0
import time

import pytest

from stack import wait_until

PHONE = {"viewport": {"width": 390, "height": 844}, "isMobile": True, "hasTouch": True}


@pytest.fixture
def refusing(stack):
    """Postgres takes no vote of the user it is called with, for good."""
    def refuse(user):
        stack.sql(f"alter table vote.votes add constraint no_{user} check (user_id <> '{user}') not valid")
        names.append(user)
    names = []
    yield refuse
    for user in names:
        stack.sql(f"alter table vote.votes drop constraint no_{user}")


def test_two_browsers_see_each_others_votes(open_page, project):
    one, other = open_page(), open_page()
    one.press(project, "up")
    one.wait(project, count="1", pressed=[True, False], waiting=False)
    other.wait(project, count="1", up="1", pressed=[False, False])
    other.press(project, "down")
    one.wait(project, count="0", up="1", down="1", pressed=[True, False])
    one.press(project, "up")
    other.wait(project, count="-1", up="0", down="1", pressed=[False, True])


def test_a_double_click_takes_the_vote_back(open_page, project, stack):
    page = open_page()
    page.do("doubleClick", {"project": project, "arrow": "up"})
    page.wait(project, count="0", pressed=[False, False], waiting=False)
    assert stack.counts(project) == (0, 0)


@pytest.mark.parametrize("clicks, count", [(50, "0"), (51, "1")])
def test_a_storm_of_clicks_ends_at_the_last_one(open_page, project, stack, clicks, count):
    one, other = open_page(), open_page()
    one.press(project, "up", clicks)
    one.wait(project, count=count, waiting=False)
    other.wait(project, count=count)
    wait_until(lambda: stack.counts(project) == (int(count), 0), 20, "the counts of Postgres")
    assert stack.sql("select sum(abs(value)) from vote.votes where project_id = %s", project)[0][0] in (None, int(count))


def test_redis_may_be_emptied_under_an_open_page(open_page, project, stack):
    one, other = open_page(), open_page()
    one.press(project, "up")
    other.wait(project, count="1")
    stack.redis().flushall()
    other.press(project, "up")
    other.wait(project, count="2", pressed=[True, False], waiting=False)
    one.wait(project, count="2", pressed=[True, False])
    one.press(project, "up")
    other.wait(project, count="1", pressed=[True, False])


def test_a_row_changed_by_hand_is_reconciled_with_a_toast(open_page, project, stack):
    page = open_page("rec")
    page.press(project, "up")
    page.wait(project, count="1", waiting=False)
    stack.sql("update vote.votes set value = -1 where project_id = %s and user_id = 'rec'", project)
    page.press(project, "up")  # takes back an up vote that is a down vote by now
    page.do("toast", "Counts corrected")
    page.wait(project, count="0", up="0", down="0", pressed=[False, False], waiting=False)
    assert stack.counts(project) == (0, 0)


def test_a_vote_that_fails_behind_the_answer_goes_back_with_a_toast(open_page, project, refusing, stack):
    refusing("unlucky")
    page, other = open_page("unlucky"), open_page()
    page.press(project, "up")
    page.do("toast", "it could not be counted")
    page.wait(project, count="0", pressed=[False, False], waiting=False)
    assert page.do("activity")[0]["state"] == "failed"
    other.press(project, "up")
    page.wait(project, count="1", up="1", pressed=[False, False])


def test_vote_notify_restarts_under_the_page(open_page, project, stack):
    page = open_page()
    stack.notify.kill()
    page.do("status", "reconnecting")
    wait_until(lambda: page.do("aloud") == "Connection lost, reconnecting", 10, "the interruption read out")
    token = stack.token("somebody")
    stack.wait_committed(token, stack.vote(token, project, "down").json()["data"]["request_id"])
    page.press(project, "up")  # votes go on
    page.wait(project, pressed=[True, False])
    stack.notify.start()
    page.live()
    page.wait(project, count="0", up="1", down="1", pressed=[True, False], waiting=False)


def test_own_votes_are_followed_to_their_announcement(open_page, project):
    page = open_page()
    page.press(project, "up")
    page.wait(project, count="1", waiting=False)
    wait_until(lambda: page.do("activity")[0]["state"] == "committed", 10, "announced")
    text = page.do("activity")[0]["text"]
    assert all(word in text for word in ("accepted", "committed", "announced")) and "–" not in text


@pytest.mark.parametrize("options", [{}, PHONE], ids=["desktop", "phone"])
def test_a_long_time_stays_in_its_step(open_page, project, options):
    page = open_page(**options)
    page.press(project, "up")
    wait_until(lambda: page.do("activity"), 10, "a vote on its way")
    beyond = page.do("run", """[...document.querySelectorAll(".steps li")].map((step) => {
      const time = step.querySelector("b");
      time.textContent = "9,999 ms";
      return time.getBoundingClientRect().right - step.getBoundingClientRect().right;
    })""")
    assert len(beyond) == 3 and max(beyond) <= 0.5


def test_another_user_has_other_votes(open_page, project):
    page = open_page("ada")
    page.press(project, "up")
    page.wait(project, count="1", pressed=[True, False], waiting=False)
    page.do("user", "grace")
    page.wait(project, count="1", pressed=[False, False])
    page.press(project, "up")
    page.wait(project, count="2", pressed=[True, False], waiting=False)
    page.do("user", "ada")
    page.wait(project, count="2", pressed=[True, False])


def test_the_keyboard_is_enough(open_page, project):
    page = open_page()
    assert page.do("key", "Tab") == "Skip to the projects"
    page.do("key", "Enter")
    wanted, focused = f"Vote up: {project.capitalize().replace('-', ' ')}", ""
    for _ in range(300):
        focused = page.do("key", "Tab")
        if focused.lower() == wanted.lower():
            break
    assert focused.lower() == wanted.lower()
    page.do("key", "Space")
    page.wait(project, count="1", pressed=[True, False], waiting=False)
    assert page.do("key", "Tab").lower() == wanted.lower().replace("vote up", "vote down")
    page.do("key", "Enter")
    page.wait(project, count="-1", pressed=[False, True], waiting=False)


def test_what_happens_is_read_out_once_and_others_are_not(open_page, project):
    page, other = open_page(), open_page()
    other.press(project, "up")
    page.wait(project, count="1")
    time.sleep(1)
    assert page.do("aloud") == ""
    page.press(project, "up", 3)
    wait_until(lambda: "an up vote, 2 points" in page.do("aloud"), 10, "the own vote read out")


def test_a_phone_shows_it_whole(open_page, project):
    page = open_page(**PHONE)
    layout = page.do("layout")
    assert layout["overflow"] <= 0 and layout["smallest"] >= 40
    page.do("tap", {"project": project, "arrow": "up"})
    page.wait(project, count="1", pressed=[True, False], waiting=False)


@pytest.mark.parametrize("options", [{"colorScheme": "light"}, {"colorScheme": "dark"}, PHONE], ids=["light", "dark", "phone"])
def test_no_barrier_is_serious(open_page, project, options):
    page = open_page(**options)
    page.press(project, "up")
    page.wait(project, count="1", waiting=False)
    assert [finding for finding in page.do("axe") if finding["impact"] in ("serious", "critical")] == []


def test_nothing_jumps(open_page, project):
    page, other = open_page(), open_page()
    other.press(project, "up")
    page.wait(project, count="1")
    time.sleep(2.5)  # figures and leaderboard have come
    assert page.do("shifts") < 0.1


def test_a_page_outlives_the_api_it_came_from(open_page, project, stack):
    """What is clicked meanwhile is told and taken back: nobody is shown a vote that nobody has."""
    page = open_page()
    stack.api.stop()
    page.press(project, "up")
    page.wait(project, count="1", pressed=[True, False], waiting=True)
    page.do("toast", "Vote not taken")
    page.wait(project, count="0", pressed=[False, False], waiting=False)
    page.do("see", "The server does not answer")
    stack.api.start()
    page.do("see", " projects")
    page.press(project, "up")
    page.wait(project, count="1", pressed=[True, False], waiting=False)
    wait_until(lambda: stack.counts(project) == (1, 0), 20, "the counts of Postgres")


@pytest.mark.parametrize("trouble, words", [("refuse", "The projects cannot be shown"), ("hold", "Still asking the server")])
def test_a_page_without_projects_says_why_and_goes_on_asking(open_page, project, trouble, words):
    page = open_page(live=False, trouble=trouble)
    page.do("see", words)
    page.do("recover")
    page.live().wait(project, seconds=40, count="0")


def test_where_nobody_gives_tokens_visitors_bring_one(open_page, project, stack):
    api = stack.ingest(stack.bare_port, *stack.page_options).start()
    try:
        page = open_page(url=f"http://127.0.0.1:{stack.bare_port}/", live=False)
        page.do("fill", ["Token", "no token"])
        page.do("click", "Go on")
        page.do("see", "This is no token")
        page.do("fill", ["Token", stack.token("bringer")])
        page.do("click", "Go on")
        page.live().wait(project, count="0")
        page.press(project, "up")
        page.wait(project, count="1", pressed=[True, False], waiting=False)
        page.do("see", "Voting as bringer")
    finally:
        api.stop()


def test_the_leaderboard_and_the_figures_follow(open_page, project, stack):
    page = open_page()
    voters = [stack.token(f"fan-{number}") for number in range(12)]
    for token in voters:
        stack.vote(token, project, "up")
    title = project.capitalize().replace("-", " ")
    wait_until(lambda: title in page.do("text", ".board"), 20, "the project's place")
    page.do("click", "Sort by score")
    board, feed = page.do("run", "[document.querySelector('.board .name').textContent, document.querySelector('.card h3').textContent]")
    assert board == feed
    wait_until(lambda: "–" not in page.do("text", ".figures dl"), 10, "the figures")
