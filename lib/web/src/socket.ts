// socket.ts - a socket.io-client for a session. SPDX-License-Identifier: Apache-2.0
import { io, type Socket } from "socket.io-client";
import type { TokenProvider } from "./types.js";

/** Not connected yet. The token is asked for at each connection, anew when the server has refused one. */
export function openSocket(url: string, token?: TokenProvider): Socket {
  let refresh = false;
  const auth = async (answer: (data: object) => void) => {
    try {
      answer(token ? { token: await token({ refresh }) } : {});
    } catch {
      answer({}); // public counts are better than none
    }
  };
  const socket = io(url, {
    autoConnect: false,
    // sessions do not share a connection: each has its user's
    forceNew: true,
    // WebSocket first: no sticky sessions are needed; polling where it is blocked
    transports: ["websocket", "polling"],
    tryAllTransports: true,
    reconnectionDelay: 500,
    auth: (answer) => void auth(answer),
  });
  socket.on("connect", () => (refresh = false));
  // an error of the transport leaves the socket active; a refusal does not
  socket.on("connect_error", () => (refresh = !socket.active));
  return socket;
}
