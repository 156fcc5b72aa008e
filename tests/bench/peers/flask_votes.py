# flask_votes.py - POST /api/votes as the usual Python service: Flask, Redis, Celery. SPDX-License-Identifier: Apache-2.0
#
#   gunicorn --preload --worker-class gthread --workers N --threads N flask_votes:app
#   python3 -m celery --app flask_votes:queue worker
#
# One script is one round trip to Redis; the task goes to the broker before the answer does, as
# vote-ingest waits for Kafka before its own. A broker in memory promises less than Kafka: to the peer's good.
import os
import re
import uuid

import jwt
import psycopg2.pool
import redis
from celery import Celery
from flask import Flask, jsonify, request

THREADS = int(os.environ["PEER_THREADS"])
SECRET = os.environ["VOTE_JWT_SECRET"]
VALUES = {"up": 1, "down": -1, "none": 0}
NAMES = {1: "up", -1: "down", 0: None}
ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")

STEP = """
local state = redis.call('HMGET', KEYS[1], 'upvotes', 'downvotes')
if not state[1] then return {'missing'} end
local time = redis.call('TIME')
local previous = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0')
local value = tonumber(ARGV[2])
if ARGV[3] == '1' and value == previous then value = 0 end
local up = (value == 1 and 1 or 0) - (previous == 1 and 1 or 0)
local down = (value == -1 and 1 or 0) - (previous == -1 and 1 or 0)
local upvotes, downvotes = tonumber(state[1]) + up, tonumber(state[2]) + down
redis.call('HSET', KEYS[1], 'upvotes', upvotes, 'downvotes', downvotes)
redis.call('HSET', KEYS[2], ARGV[1], value)
redis.call('HSET', KEYS[3], 'state', 'pending', 'user_id', ARGV[1], 'vote_type', value)
redis.call('EXPIRE', KEYS[3], 86400)
return {'ok', time[1] * 1000000 + time[2], previous, value, upvotes, downvotes}
"""

app = Flask(__name__)
queue = Celery("flask_votes", broker=os.environ["PEER_BROKER_URL"])
queue.conf.update(task_ignore_result=True, broker_pool_limit=THREADS)
store = redis.Redis.from_url(os.environ["PEER_REDIS_URL"], decode_responses=True)
step = store.register_script(STEP)
database = psycopg2.pool.ThreadedConnectionPool(0, THREADS, os.environ["VOTE_DATABASE_URL"])


class Refused(Exception):
    def __init__(self, status, detail):
        super().__init__(detail)
        self.status = status


@app.errorhandler(Refused)
def refuse(error):
    answer = jsonify(status=error.status, detail=str(error))
    answer.content_type = "application/problem+json"
    return answer, error.status


def rows(sql, *values):
    connection = database.getconn()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall() if cursor.description else []
    finally:
        database.putconn(connection)


@queue.task
def record_vote(request_id, user_id, project_id, value, seq):
    """Applies one vote to Postgres; a newer vote of the same user stands, so that a retry changes nothing."""
    rows("with locked as (select project_id from vote.projects where project_id = %s for update), "
         "old as (select v.value, v.seq from locked left join vote.votes v "
         "        on v.project_id = locked.project_id and v.user_id = %s), "
         "written as (insert into vote.votes as v (project_id, user_id, value, seq, request_id) "
         "            values (%s, %s, %s, %s, %s) on conflict (project_id, user_id) do update "
         "            set value = excluded.value, seq = excluded.seq, request_id = excluded.request_id, "
         "                updated_at = now() where v.seq < excluded.seq returning v.value) "
         "update vote.projects p set version = version + 1, updated_at = now(), "
         "  upvotes = upvotes + (w.value = 1)::int - (coalesce(o.value, 0) = 1)::int, "
         "  downvotes = downvotes + (w.value = -1)::int - (coalesce(o.value, 0) = -1)::int "
         "from old o, written w where p.project_id = %s",
         project_id, user_id, project_id, user_id, value, seq, request_id, project_id)


def caller():
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Refused(401, "the call has no bearer token")
    try:
        user_id = jwt.decode(token, SECRET, algorithms=["HS256"], options={"require": ["sub"]})["sub"]
    except jwt.InvalidTokenError as error:
        raise Refused(401, str(error)) from error
    if not isinstance(user_id, str) or not ID.fullmatch(user_id):
        raise Refused(401, "the token's sub is not a user id")
    return user_id


def vote_of(body):
    if not isinstance(body, dict):
        raise Refused(400, "the body is not a JSON object")
    project_id, vote_type, toggle = body.get("project_id"), body.get("vote_type"), body.get("toggle", True)
    if not isinstance(project_id, str) or not ID.fullmatch(project_id):
        raise Refused(400, "project_id is not 1 to 64 characters out of A-Z a-z 0-9 . _ : -")
    if not isinstance(vote_type, str) or vote_type not in VALUES:
        raise Refused(400, "vote_type is not up, down or none")
    if not isinstance(toggle, bool):
        raise Refused(400, "toggle is not true or false")
    return project_id, VALUES[vote_type], toggle


def load(project_id):
    counts = rows("select upvotes, downvotes from vote.projects where project_id = %s", project_id)
    if not counts:
        raise Refused(404, "there is no such project")
    voters = dict(rows("select user_id, value from vote.votes where project_id = %s", project_id))
    with store.pipeline() as pipeline:
        for user_id, value in voters.items():
            pipeline.hsetnx(f"voters:{project_id}", user_id, value)
        pipeline.hsetnx(f"state:{project_id}", "downvotes", counts[0][1])
        pipeline.hsetnx(f"state:{project_id}", "upvotes", counts[0][0])
        pipeline.execute()


def take_step(request_id, user_id, project_id, value, toggle):
    keys = [f"state:{project_id}", f"voters:{project_id}", f"request:{request_id}"]
    arguments = [user_id, value, int(toggle)]
    reply = step(keys, arguments)
    if reply[0] == "missing":
        load(project_id)
        reply = step(keys, arguments)
    return reply[1:]


def action_between(previous, value):
    if previous == value:
        return "unchanged"
    return "created" if previous == 0 else "removed" if value == 0 else "changed"


@app.post("/api/votes")
def post_vote():
    user_id = caller()
    project_id, wanted, toggle = vote_of(request.get_json(silent=True))
    request_id = str(uuid.uuid4())
    seq, previous, value, upvotes, downvotes = take_step(request_id, user_id, project_id, wanted, toggle)
    record_vote.apply_async((request_id, user_id, project_id, value, seq), ignore_result=True)
    data = {"id": project_id, "upvotes": upvotes, "downvotes": downvotes, "voteCount": upvotes - downvotes,
            "user_vote": NAMES[value], "request_id": request_id, "action": action_between(previous, value)}
    answer = jsonify(status="success", message="Vote recorded", data=data)
    answer.headers["Location"] = "/api/votes/status/" + request_id
    return answer, 202


@app.get("/readyz")
def ready():
    store.ping()
    return jsonify(status="ok")
