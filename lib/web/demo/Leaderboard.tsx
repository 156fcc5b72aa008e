// Leaderboard.tsx - the best by community score. SPDX-License-Identifier: Apache-2.0
import type { LeaderboardEntry } from "../src/types.js";
import { titleOf } from "./text.js";

const PLACES = 8;

/** A place for each, before there is anything to put there: nothing moves when it comes. */
export function Leaderboard({ projects }: { readonly projects: readonly LeaderboardEntry[] | undefined }) {
  return (
    <section className="panel board" aria-labelledby="board">
      <h2 id="board">Leaderboard <small>by community score</small></h2>
      <ol>
        {Array.from({ length: PLACES }, (_, at) => {
          const project = projects?.[at];
          const score = project?.community_score ?? 0;
          return (
            <li key={at} aria-hidden={!project}>
              <span className="place">{at + 1}</span>
              <span className="name">{project && titleOf(project.project_id)}</span>
              <span className="meter" aria-hidden="true"><span style={{ transform: `scaleX(${score})` }} /></span>
              <span className="score">{project && score.toFixed(2)}</span>
            </li>
          );
        })}
      </ol>
    </section>
  );
}
