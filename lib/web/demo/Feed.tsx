// Feed.tsx - the projects with their arrows. SPDX-License-Identifier: Apache-2.0
import { memo, useEffect, useRef, type CSSProperties } from "react";
import { useProject, type ProjectView } from "../src/react.js";
import { formatCount, hueOf, monogramOf, titleOf } from "./text.js";

export type OnVote = (project_id: string, direction: "up" | "down") => void;

const CHUNK = 12;
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const BUMP = { duration: 220, easing: "cubic-bezier(.2, .9, .3, 1.3)" };

const ARROWS = { up: "M5.5 14.5 12 8l6.5 6.5", down: "M5.5 9.5 12 16l6.5-6.5" } as const;

function Arrow({ direction, project, onVote }: {
  readonly direction: "up" | "down"; readonly project: ProjectView; readonly onVote: OnVote;
}) {
  const { project_id, user_vote } = project;
  return (
    <button
      type="button" className="arrow" data-direction={direction} aria-pressed={user_vote === direction}
      aria-label={`Vote ${direction}: ${titleOf(project_id)}`} onClick={() => onVote(project_id, direction)}
    >
      <svg viewBox="0 0 24 24" aria-hidden="true"><path d={ARROWS[direction]} /></svg>
    </button>
  );
}

/** Others' votes come in from where they went: from below when the number grew. One's own is there at once. */
function Count({ value, isKnown, isPending }: { readonly value: number; readonly isKnown: boolean; readonly isPending: boolean }) {
  const element = useRef<HTMLSpanElement>(null);
  const before = useRef(isKnown ? value : null);
  useEffect(() => {
    const last = before.current;
    before.current = isKnown ? value : null;
    if (last === null || last === value || isPending || calm.matches) return;
    const from = value > last ? "35%" : "-35%";
    element.current?.animate([{ transform: `translateY(${from})`, opacity: 0.25 }, { transform: "none", opacity: 1 }], BUMP);
  }, [value, isKnown, isPending]);
  return (
    <span className="count" data-pending={isPending}>
      <span ref={element} className="number">{isKnown ? formatCount(value) : "·"}</span>
      <span className="aloud"> points</span>
    </span>
  );
}

function Split({ upvotes, downvotes }: { readonly upvotes: number; readonly downvotes: number }) {
  const total = upvotes + downvotes;
  const share = `${total ? (100 * upvotes) / total : 0}%`;
  return <span className="split" data-empty={total === 0} style={{ "--share": share } as CSSProperties} aria-hidden="true" />;
}

export const Card = memo(function Card({ project_id, onVote }: { readonly project_id: string; readonly onVote: OnVote }) {
  const project = useProject(project_id);
  const { upvotes, downvotes, voteCount, known, pending, user_vote, version } = project;
  const title = titleOf(project_id);
  return (
    <div role="listitem" className="card" data-project={project_id} data-version={version}>
      <span className="tile" data-hue={hueOf(project_id)} aria-hidden="true">{monogramOf(title)}</span>
      <div className="about">
        <h3>{title}</h3>
        <p className="tally">
          <span><b className="ups">{formatCount(upvotes)}</b> up</span>
          <Split upvotes={upvotes} downvotes={downvotes} />
          <span><b className="downs">{formatCount(downvotes)}</b> down</span>
        </p>
      </div>
      <div className="ballot" role="group" aria-label={title} data-vote={user_vote ?? "none"}>
        <Arrow direction="up" project={project} onVote={onVote} />
        <Count value={voteCount} isKnown={known} isPending={pending} />
        <Arrow direction="down" project={project} onVote={onVote} />
      </div>
    </div>
  );
});

export function Ghosts() {
  return (
    <div className="feed" aria-hidden="true">
      {Array.from({ length: 8 }, (_, at) => <div key={at} className="card ghost" />)}
    </div>
  );
}

function chunksOf<T>(list: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(list.length / size) }, (_, at) => list.slice(at * size, (at + 1) * size));
}

/** In chunks that are left out of layout, painting and the search for what was hit while they are out of sight. */
export function Feed({ projectIds, onVote }: { readonly projectIds: readonly string[]; readonly onVote: OnVote }) {
  return (
    <div role="list" className="feed">
      {chunksOf(projectIds, CHUNK).map((ids, at) => (
        <div key={at} role="none" className="chunk" style={{ "--cards": ids.length } as CSSProperties}>
          {ids.map((id) => <Card key={id} project_id={id} onVote={onVote} />)}
        </div>
      ))}
    </div>
  );
}
