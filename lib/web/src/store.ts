// store.ts - what a page shows of its projects: committed counts, and the user's own clicks on top.
//
// For each project the store knows the newest committed counts (`base`), the own vote that is in them
// (`counted`), and the clicks that are on their way. What is shown is base - counted + newest click: so a
// count does not jump when the click's commit arrives, whether as an own or as a public event first.
// SPDX-License-Identifier: Apache-2.0
import type { Problem } from "./client.js";
import { beforeNextPaint, withLaterFrame, type Schedule } from "./frames.js";
import type { Counts, FailedEvent, OwnEvent, ProjectCounts, UserVote, VoteAnswer, VoteType } from "./types.js";

/** One project as it is shown. A new object only when something about it has changed. */
export interface ProjectView {
  readonly project_id: string;
  /** False until counts are known; they are 0 until then. */
  readonly known: boolean;
  readonly upvotes: number;
  readonly downvotes: number;
  readonly voteCount: number;
  readonly community_score: number;
  readonly version: number;
  /** Undefined until it is known. */
  readonly user_vote: UserVote | undefined;
  /** A click is not committed yet. */
  readonly pending: boolean;
}

export type RequestState =
  | "waiting" | "sending" | "accepted" | "committed" | "reconciled" | "superseded" | "failed";

/** One of the user's requests, for an activity strip. Times are Date.now(), on the browser's clock. */
export interface Activity {
  readonly key: string;
  readonly project_id: string;
  readonly vote_type: VoteType;
  readonly state: RequestState;
  readonly request_id: string | null;
  readonly clicked_at: number;
  readonly accepted_at: number | null;
  /** When the server committed it, by the server's clock (ISO 8601). */
  readonly committed_at: string | null;
  /** When this page was told of the commit. */
  readonly announced_at: number | null;
  readonly reason: string | null;
}

interface Told {
  readonly project_id: string;
  readonly request_id: string;
  readonly reason: string;
  /** What stands. */
  readonly user_vote: UserVote;
}

interface Untaken {
  readonly project_id: string;
  readonly vote_type: VoteType;
}

/** What the user is told about: for toasts. */
export type Notice =
  /** The vote before was another than this page had thought; counts are fetched anew. */
  | (Told & { readonly kind: "reconciled" })
  /** The commit failed: the vote was rolled back. */
  | (Told & { readonly kind: "failed" })
  /** The server did not take the vote: it was rolled back. */
  | (Untaken & { readonly kind: "rejected"; readonly problem: Problem })
  /** Too many votes: the click is kept and sent again in `retryAfterMs`. */
  | (Untaken & { readonly kind: "waiting"; readonly retryAfterMs: number });

export type Notify = (notice: Notice) => void;
export type LiveStatus = "live" | "connecting" | "reconnecting" | "off";

/** A click on its way. */
export interface Click {
  readonly key: string;
  readonly project_id: string;
  readonly vote_type: VoteType;
  /** How often the server said that it comes too soon. */
  readonly limited: number;
  readonly request_id: string | null;
}

interface Entry {
  readonly project_id: string;
  base: Counts | null;
  /** A snapshot that came while a click was on its way: nobody knows whether it has the click in it. */
  held: Counts | null;
  counted: UserVote | undefined;
  /** The version that `counted` was told with. */
  countedVersion: number;
  /** The newest click that was not sent, the one that is, and those that wait for their commit. */
  waiting: Click | null;
  sending: Click | null;
  accepted: Click[];
  /** The last click came to an unknown end: `counted` may be wrong. */
  unsure: boolean;
  /** The store's clock at the last thing that happened to the own vote. */
  touched: number;
  view: ProjectView;
  readonly listeners: Set<() => void>;
}

/** A queued public event; `waited` when it let a frame pass for the own event that belongs to it. */
interface Queued {
  readonly counts: Counts;
  waited: boolean;
}

export interface StoreOptions {
  /** When others' votes are shown; before the next paint. */
  readonly schedule?: Schedule;
  /** When listeners hear of the activities; not in the next frame, which is the count's of a click. */
  readonly scheduleActivities?: Schedule;
}

const ACTIVITIES_KEPT = 50;
const SETTLED_KEPT = 500;

const typeOf = (vote: UserVote | undefined): VoteType => vote ?? "none";
const voteOf = (type: VoteType): UserVote => (type === "none" ? null : type);
const up = (vote: UserVote | undefined): number => (vote === "up" ? 1 : 0);
const down = (vote: UserVote | undefined): number => (vote === "down" ? 1 : 0);

/** What the own vote was before an answered request, as far as the answer tells. */
function voteBefore({ action, user_vote }: VoteAnswer): UserVote | undefined {
  if (action === "created") return null;
  if (action === "changed") return user_vote === "up" ? "down" : "up";
  return action === "unchanged" ? user_vote : undefined;
}

function pick({ upvotes, downvotes, voteCount, community_score, version }: Counts): Counts {
  return { upvotes, downvotes, voteCount, community_score, version };
}

const isNewer = (counts: Counts, than: Counts | null): boolean => !than || counts.version > than.version;

const newest = (entry: Entry): Click | undefined => entry.waiting ?? entry.sending ?? entry.accepted.at(-1);

function shownVote(entry: Entry): UserVote | undefined {
  const click = newest(entry);
  return click ? voteOf(click.vote_type) : entry.counted;
}

function viewOf(entry: Entry): ProjectView {
  const { project_id, base, counted } = entry;
  const vote = shownVote(entry);
  const upvotes = Math.max(0, (base?.upvotes ?? 0) + up(vote) - up(counted));
  const downvotes = Math.max(0, (base?.downvotes ?? 0) + down(vote) - down(counted));
  return {
    project_id,
    known: base !== null,
    upvotes,
    downvotes,
    voteCount: upvotes - downvotes,
    community_score: base?.community_score ?? 0,
    version: base?.version ?? 0,
    user_vote: vote,
    pending: newest(entry) !== undefined,
  };
}

const isSame = (a: ProjectView, b: ProjectView): boolean =>
  (Object.keys(a) as (keyof ProjectView)[]).every((member) => a[member] === b[member]);

export class VoteStore {
  readonly #entries = new Map<string, Entry>();
  readonly #queue = new Map<string, Queued>();
  readonly #schedule: Schedule;
  readonly #scheduleActivities: Schedule;
  #scheduled = false;
  #activitiesScheduled = false;
  #clock = 0;
  /** Requests whose end was told; some are told before their own 202 has arrived. */
  readonly #settled = new Map<string, Partial<Activity>>();
  #activities: readonly Activity[] = [];
  readonly #activityListeners = new Set<() => void>();

  constructor({ schedule = beforeNextPaint, scheduleActivities = withLaterFrame }: StoreOptions = {}) {
    this.#schedule = schedule;
    this.#scheduleActivities = scheduleActivities;
  }

  // --- What is shown -------------------------------------------------------------------------------

  get(project_id: string): ProjectView {
    return this.#entry(project_id).view;
  }

  subscribe(project_id: string, listener: () => void): () => void {
    const { listeners } = this.#entry(project_id);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  readonly activities = (): readonly Activity[] => this.#activities;

  readonly subscribeActivities = (listener: () => void): (() => void) => {
    this.#activityListeners.add(listener);
    return () => this.#activityListeners.delete(listener);
  };

  // --- Counts --------------------------------------------------------------------------------------

  /** Public events: the newest of each project is shown with the next frame. */
  applyLive({ project_id, ...event }: ProjectCounts): void {
    const counts = pick(event);
    if (!isNewer(counts, this.#queue.get(project_id)?.counts ?? null)) return;
    this.#queue.set(project_id, { counts, waited: false });
    this.#scheduleFlush();
  }

  /** Counts that were asked for. While a click is on its way they wait for its end. */
  applySnapshot(list: Iterable<ProjectCounts>): void {
    for (const { project_id, ...counts } of list) {
      const entry = this.#entry(project_id);
      if (!isNewer(counts, entry.base)) continue;
      const isOpen = entry.sending !== null || entry.accepted.length > 0;
      if (!entry.base || !isOpen) entry.base = pick(counts);
      else if (isNewer(counts, entry.held)) entry.held = pick(counts);
      this.#render(entry);
    }
  }

  #scheduleFlush(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#schedule(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  /** An own event may come right behind the public one of the same commit: one frame is waited for it. */
  #flush(): void {
    for (const [project_id, queued] of this.#queue) {
      const entry = this.#entry(project_id);
      const isOpen = entry.sending !== null || entry.accepted.length > 0;
      if (isOpen && !queued.waited && isNewer(queued.counts, entry.base)) {
        queued.waited = true;
        continue;
      }
      this.#queue.delete(project_id);
      if (!isNewer(queued.counts, entry.base)) continue;
      entry.base = queued.counts;
      this.#render(entry);
    }
    if (this.#queue.size) this.#scheduleFlush();
  }

  // --- The own vote --------------------------------------------------------------------------------

  /** Taken before own votes are asked for: the answer is then not put over what happened since. */
  mark(): number {
    return this.#clock;
  }

  /** The user's votes of these projects, as the server knew them when `mark` was taken. */
  setUserVotes(projectIds: Iterable<string>, votes: ReadonlyMap<string, UserVote>, mark: number): void {
    for (const project_id of projectIds) {
      const entry = this.#entry(project_id);
      if (entry.touched > mark || entry.sending || entry.accepted.length) continue;
      entry.counted = votes.get(project_id) ?? null;
      entry.unsure = false;
      this.#render(entry);
    }
  }

  /** A click: shown at once. One that was not sent yet gives way to it. */
  want(project_id: string, vote_type: VoteType, key: string): void {
    const entry = this.#touch(project_id);
    if (entry.waiting) this.#forget(entry.waiting.key);
    entry.waiting = { key, project_id, vote_type, limited: 0, request_id: null };
    this.#record({
      key, project_id, vote_type, state: "waiting", request_id: null, clicked_at: Date.now(),
      accepted_at: null, committed_at: null, announced_at: null, reason: null,
    });
    this.#render(entry);
  }

  /** The click to send now; null when one is on its way, or the newest only repeats what stands. */
  next(project_id: string): Click | null {
    const entry = this.#entry(project_id);
    const click = entry.waiting;
    if (!click || entry.sending) return null;
    const last = entry.accepted.at(-1)?.vote_type;
    const isKnown = last !== undefined || (entry.counted !== undefined && !entry.unsure);
    entry.waiting = null;
    if (isKnown && click.vote_type === (last ?? typeOf(entry.counted))) {
      this.#forget(click.key);
    } else {
      entry.sending = click;
      this.#update(click.key, { state: "sending" });
    }
    this.#render(entry);
    return entry.sending;
  }

  /** Projects with a click that was not sent. */
  waiting(): string[] {
    return [...this.#entries.values()].filter((entry) => entry.waiting).map((entry) => entry.project_id);
  }

  /** The 202 of what `next` gave. */
  accept(click: Click, answer: VoteAnswer): void {
    const entry = this.#touch(click.project_id);
    const { request_id } = answer;
    const end = this.#settled.get(request_id);
    entry.sending = null;
    if (entry.counted === undefined) entry.counted = voteBefore(answer);
    if (!end) entry.accepted.push({ ...click, request_id });
    this.#update(click.key, { state: "accepted", request_id, accepted_at: Date.now(), ...end });
    this.#finish(entry);
  }

  /** The server asks to come later: the click waits again, unless there is a newer one. */
  retreat(click: Click): void {
    const entry = this.#touch(click.project_id);
    entry.sending = null;
    if (entry.waiting) this.#forget(click.key);
    else {
      entry.waiting = { ...click, limited: click.limited + 1 };
      this.#update(click.key, { state: "waiting" });
    }
    this.#finish(entry);
  }

  /** The click came to nothing: what is shown goes back, unless there is a newer click. */
  reject(click: Click, problem: Problem, unsure: boolean): void {
    const entry = this.#touch(click.project_id);
    entry.sending = null;
    entry.unsure ||= unsure;
    this.#update(click.key, { state: "failed", reason: problem.detail });
    this.#finish(entry);
  }

  /** The own event of a commit. Requests before it are done with, too: commits keep their order. */
  applyOwn(event: OwnEvent): void {
    const { project_id, request_id, user_vote, version } = event;
    const entry = this.#touch(project_id);
    if (isNewer(event, entry.base)) entry.base = pick(event);
    if (version >= entry.countedVersion) {
      entry.counted = user_vote;
      entry.countedVersion = version;
      entry.unsure = false;
    }
    this.#settle(request_id, {
      state: event.reason === undefined ? "committed" : "reconciled",
      committed_at: event.committed_at,
      announced_at: Date.now(),
      reason: event.reason ?? null,
    });
    const at = entry.accepted.findIndex((click) => click.request_id === request_id);
    entry.accepted.splice(0, at + 1);
    this.#finish(entry);
  }

  /** The vote is gone: what is shown goes back to what stands, unless there is a newer click. */
  applyFailed({ project_id, request_id, user_vote, reason }: FailedEvent): void {
    const entry = this.#touch(project_id);
    entry.counted = user_vote;
    entry.unsure = false;
    this.#settle(request_id, { state: "failed", announced_at: Date.now(), reason });
    entry.accepted = entry.accepted.filter((click) => click.request_id !== request_id);
    this.#finish(entry);
  }

  /** The newest request that waits for its commit. */
  accepted(project_id: string): Click | undefined {
    return this.#entry(project_id).accepted.at(-1);
  }

  /** Projects with requests that wait for their commit. */
  uncommitted(): string[] {
    return [...this.#entries.values()].filter((entry) => entry.accepted.length).map((entry) => entry.project_id);
  }

  // --- Inside --------------------------------------------------------------------------------------

  #entry(project_id: string): Entry {
    let entry = this.#entries.get(project_id);
    if (!entry) {
      const bare: Omit<Entry, "view"> = {
        project_id, base: null, held: null, counted: undefined, countedVersion: -1, waiting: null,
        sending: null, accepted: [], unsure: false, touched: 0, listeners: new Set(),
      };
      entry = bare as Entry;
      entry.view = viewOf(entry);
      this.#entries.set(project_id, entry);
    }
    return entry;
  }

  #touch(project_id: string): Entry {
    const entry = this.#entry(project_id);
    entry.touched = ++this.#clock;
    return entry;
  }

  /** When nothing is on its way any more, a snapshot that was held is as good as any. */
  #finish(entry: Entry): void {
    if (entry.held && !entry.sending && !entry.accepted.length) {
      if (isNewer(entry.held, entry.base)) entry.base = entry.held;
      entry.held = null;
    }
    this.#render(entry);
  }

  #render(entry: Entry): void {
    const view = viewOf(entry);
    if (isSame(view, entry.view)) return;
    entry.view = view;
    for (const listener of [...entry.listeners]) listener();
  }

  #settle(request_id: string, end: Partial<Activity>): void {
    this.#settled.set(request_id, end);
    if (this.#settled.size > SETTLED_KEPT) this.#settled.delete(this.#settled.keys().next().value!);
    const known = this.#activities.find((activity) => activity.request_id === request_id);
    if (known) this.#update(known.key, end);
  }

  #record(activity: Activity): void {
    this.#setActivities([activity, ...this.#activities].slice(0, ACTIVITIES_KEPT));
  }

  #forget(key: string): void {
    this.#setActivities(this.#activities.filter((activity) => activity.key !== key));
  }

  #update(key: string, change: Partial<Activity>): void {
    this.#setActivities(this.#activities.map((known) => (known.key === key ? { ...known, ...change } : known)));
  }

  #setActivities(activities: readonly Activity[]): void {
    this.#activities = activities;
    if (this.#activitiesScheduled) return;
    this.#activitiesScheduled = true;
    this.#scheduleActivities(() => {
      this.#activitiesScheduled = false;
      for (const listener of [...this.#activityListeners]) listener();
    });
  }
}
