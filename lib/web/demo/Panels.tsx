// Panels.tsx - what stands beside the feed: the leaderboard, one's own votes on their way, live figures.
// SPDX-License-Identifier: Apache-2.0
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { ProblemError, useActivity, useVotesContext, type Votes } from "../src/react.js";
import type { Activity } from "../src/caster.js";
import { formatCount, formatMs, titleOf } from "./text.js";

const LEADERS = 8;
const FIGURES_MS = 2_000;
const POINTS = 30;

async function unwrap<T>(answer: Promise<{ ok: true; data: T } | { ok: false; problem: ProblemError["problem"] }>): Promise<T> {
  const result = await answer;
  if (!result.ok) throw new ProblemError(result.problem);
  return result.data;
}

export function useLeaderboard(votes: Votes, user: string, limit: number, everyMs: number | false) {
  return useQuery({
    queryKey: ["votepipe", "leaderboard", limit, user],
    queryFn: ({ signal }) => unwrap(votes.client.leaderboard(limit, { signal })),
    refetchInterval: everyMs,
  });
}

export function LeaderboardPanel({ user }: { user: string }) {
  const board = useLeaderboard(useVotesContext(), user, LEADERS, 3_000);
  return (
    <section className="panel" aria-labelledby="board-title">
      <h2 id="board-title">Leaderboard</h2>
      <ol className="board">
        {Array.from({ length: LEADERS }, (_, place) => {
          const project = board.data?.projects[place];
          return (
            <li key={place}>
              <span className="place">{place + 1}</span>
              <span className="name">{project ? titleOf(project.project_id) : ""}</span>
              <span className="points">{project ? project.community_score.toFixed(2) : ""}</span>
            </li>
          );
        })}
      </ol>
    </section>
  );
}

const STATE_TEXT: Record<Activity["state"], string> = {
  accepted: "on its way", committed: "announced", reconciled: "reconciled", superseded: "superseded by a later click", failed: "failed",
};

function Step({ name, ms }: { name: string; ms: number | undefined }) {
  return (
    <span className={ms === undefined ? "step" : "step done"}>
      {name} <b>{ms === undefined ? "…" : formatMs(Math.max(0, ms))}</b>
    </span>
  );
}

export function ActivityPanel() {
  const activity = useActivity();
  return (
    <section className="panel" aria-labelledby="activity-title">
      <h2 id="activity-title">Your votes on their way</h2>
      <ol className="activity">
        {activity.length === 0 && <li className="empty">Press an arrow: each step shows up here.</li>}
        {activity.slice(0, 3).map(({ requestId, projectId, vote, clickedAt, acceptedAt, committedAt, announcedAt, state }) => (
          <li key={requestId} data-state={state}>
            <div><span aria-hidden="true">{vote === "up" ? "▲" : vote === "down" ? "▼" : "○"}</span> {titleOf(projectId)} <em>{STATE_TEXT[state]}</em></div>
            <div className="steps">
              <Step name="accepted" ms={acceptedAt - clickedAt} />
              <Step name="committed" ms={committedAt === undefined ? undefined : committedAt - clickedAt} />
              <Step name="announced" ms={announcedAt === undefined ? undefined : announcedAt - clickedAt} />
            </div>
          </li>
        ))}
      </ol>
    </section>
  );
}

interface Sample {
  at: number;
  total: number;
}

/** Votes a second between the last two looks, and the line of those before. */
function useRate(total: number | undefined, at: number): number[] {
  const [state, setState] = useState<{ last?: Sample; rates: number[] }>({ rates: [] });
  useEffect(() => {
    if (total === undefined) return;
    setState(({ last, rates }) => {
      const rate = last && at > last.at ? Math.max(0, ((total - last.total) * 1000) / (at - last.at)) : undefined;
      return { last: { at, total }, rates: rate === undefined ? rates : [...rates, rate].slice(-POINTS) };
    });
  }, [total, at]);
  return state.rates;
}

function Sparkline({ values }: { values: number[] }) {
  const top = Math.max(1, ...values);
  const points = values.map((value, i) => `${((i + POINTS - values.length) / (POINTS - 1)) * 100},${28 - (value / top) * 26}`);
  return (
    <svg className="spark" viewBox="0 0 100 30" preserveAspectRatio="none" aria-hidden="true" focusable="false">
      <polyline points={points.join(" ")} fill="none" vectorEffect="non-scaling-stroke" />
    </svg>
  );
}

function Figure({ name, value }: { name: string; value: string }) {
  return (
    <div className="figure">
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

export function FiguresPanel({ user }: { user: string }) {
  const { client } = useVotesContext();
  const figures = useQuery({
    queryKey: ["votepipe", "metrics", user],
    queryFn: ({ signal }) => unwrap(client.metrics({ signal })),
    refetchInterval: FIGURES_MS,
  });
  const data = figures.data;
  const rates = useRate(data?.total_votes, figures.dataUpdatedAt);
  const show = (value: number | undefined, format: (value: number) => string) => (value === undefined || figures.isError ? "–" : format(value));
  return (
    <section className="panel" aria-labelledby="figures-title">
      <h2 id="figures-title">Live figures</h2>
      <Sparkline values={rates} />
      <dl className="figures">
        <Figure name="votes a second" value={show(rates.at(-1), (rate) => rate.toFixed(1))} />
        <Figure name="votes so far" value={show(data?.total_votes, formatCount)} />
        <Figure name="answered, p95" value={show(data?.p95_latency_ms, formatMs)} />
        <Figure name="commit lag" value={show(data?.worker_lag_seconds, (lag) => formatMs(lag * 1000))} />
      </dl>
    </section>
  );
}
