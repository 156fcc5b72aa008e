// Activity.tsx - the visitor's own votes on their way: accepted, committed, announced, each with its time.
// SPDX-License-Identifier: Apache-2.0
import { useActivity, type Activity, type RequestState } from "../src/react.js";
import { formatMs, titleOf } from "./text.js";

const SHOWN_COUNT = 3;

const STATES: Record<RequestState, string> = {
  waiting: "waiting", sending: "sending", accepted: "on its way", committed: "counted",
  reconciled: "corrected", superseded: "superseded", failed: "taken back",
};
const MARKS = { up: "M6 14.5 12 8.5l6 6", down: "M6 9.5 12 15.5l6-6", none: "M7 12h10" } as const;
const VERBS = { up: "Up", down: "Down", none: "Taken back" } as const;

interface Step {
  readonly name: string;
  /** Since the click; null when it has not come to that. */
  readonly ms: number | null;
}

/** The commit's time is the server's: no clock of another machine may make it later than its announcement. */
function stepsOf({ clicked_at, accepted_at, committed_at, announced_at }: Activity): Step[] {
  const since = (at: number | null): number | null => (at === null || Number.isNaN(at) ? null : Math.max(0, at - clicked_at));
  const announced = since(announced_at);
  const committed = since(committed_at ? Date.parse(committed_at) : null);
  return [
    { name: "accepted", ms: since(accepted_at) },
    { name: "committed", ms: committed === null ? null : Math.min(committed, announced ?? Infinity) },
    { name: "announced", ms: announced },
  ];
}

function Row({ activity }: { readonly activity: Activity }) {
  const { project_id, vote_type, state } = activity;
  return (
    <li className="request" data-state={state}>
      <p className="what">
        <svg viewBox="0 0 24 24" data-vote={vote_type} aria-hidden="true"><path d={MARKS[vote_type]} /></svg>
        <span className="aloud">{VERBS[vote_type]}: </span>
        <span className="name">{titleOf(project_id)}</span>
        <span className="state">{STATES[state]}</span>
      </p>
      <ol className="steps">
        {stepsOf(activity).map(({ name, ms }) => (
          <li key={name} data-done={ms !== null}>
            <span>{name}</span> <b>{ms === null ? "–" : formatMs(ms)}</b>
          </li>
        ))}
      </ol>
    </li>
  );
}

export function ActivityStrip() {
  const activities = useActivity().slice(0, SHOWN_COUNT);
  return (
    <section className="panel activity" aria-labelledby="activity">
      <h2 id="activity">Your votes on their way</h2>
      <ol className="requests">
        {activities.map((activity) => <Row key={activity.key} activity={activity} />)}
        {activities.length === 0 && <li className="hint">Press an arrow: its way through the pipeline shows up here, with the time of each step.</li>}
      </ol>
    </section>
  );
}
