// Feed.tsx - projects with their arrows. SPDX-License-Identifier: Apache-2.0
import { memo } from "react";
import { useProject } from "../src/react.js";
import { formatCount, titleOf } from "./text.js";

type Press = (projectId: string, arrow: "up" | "down") => void;

function Arrow({ direction, title, pressed, onPress }: { direction: "up" | "down"; title: string; pressed: boolean; onPress: () => void }) {
  return (
    <button type="button" className={`arrow ${direction}`} aria-pressed={pressed} aria-label={`Vote ${direction}: ${title}`} onClick={onPress}>
      <svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true" focusable="false">
        <path d="M12 5l8 9h-5v5H9v-5H4z" />
      </svg>
    </button>
  );
}

export const Card = memo(function Card({ id, press }: { id: string; press: Press }) {
  const project = useProject(id);
  const title = titleOf(id);
  return (
    <li className="card" data-project={id} data-version={project.version}>
      <div className="arrows">
        <Arrow direction="up" title={title} pressed={project.userVote === "up"} onPress={() => press(id, "up")} />
        <output className={project.pending ? "count waiting" : "count"} aria-label={`${title}: ${project.voteCount} points`}>
          {project.known ? formatCount(project.voteCount) : "·"}
        </output>
        <Arrow direction="down" title={title} pressed={project.userVote === "down"} onPress={() => press(id, "down")} />
      </div>
      <div className="about">
        <h3>{title}</h3>
        <p className="split">
          <span><b className="ups">{formatCount(project.upvotes)}</b> up</span>
          <span><b className="downs">{formatCount(project.downvotes)}</b> down</span>
          <span className="score" title="Lower bound of the share of up votes, with 95 % confidence">score {project.communityScore.toFixed(2)}</span>
        </p>
      </div>
    </li>
  );
});

export function Feed({ ids, press }: { ids: readonly string[]; press: Press }) {
  return (
    <ul className="feed">
      {ids.map((id) => <Card key={id} id={id} press={press} />)}
    </ul>
  );
}
