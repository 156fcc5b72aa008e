// button.js - makes every button with a data-project a vote button. SPDX-License-Identifier: Apache-2.0
import { createClient, createSession } from "../dist/index.js";
import { io } from "../node_modules/socket.io-client/dist/socket.io.esm.min.js";

const votes = "http://127.0.0.1:8080";
const live = "http://127.0.0.1:8081";

/** Ask your own site here, which knows who is logged in. This gets a token for any name, where --dev-tokens is on. */
async function token() {
  const body = JSON.stringify({ user: "reader-1" });
  const answer = await fetch(`${votes}/demo/token`, { method: "POST", headers: { "Content-Type": "application/json" }, body });
  return (await answer.json()).token;
}

const session = createSession({
  client: createClient({ baseUrl: votes, token }),
  socket: io(live, { autoConnect: false, transports: ["websocket"], auth: async (give) => give({ token: await token() }) }),
  notify: ({ kind }) => console.warn(`the vote: ${kind}`),
});

const buttons = [...document.querySelectorAll("button[data-project]")];
for (const button of buttons) {
  const { project } = button.dataset;
  session.store.subscribe(project, () => {
    const { voteCount, user_vote } = session.store.get(project);
    button.querySelector("output").textContent = voteCount;
    button.setAttribute("aria-pressed", user_vote === "up");
  });
  button.addEventListener("click", () => session.votes.click(project, "up"));
}

const ids = buttons.map((button) => button.dataset.project);
session.start();
session.votes.load(ids);
session.realtime.watch(ids);
