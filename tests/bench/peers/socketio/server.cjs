// server.cjs - the official Socket.IO server with the events of the broadcast that is measured; prints its port.
// SPDX-License-Identifier: Apache-2.0
// As its documents have it, with what they advise for memory: the first request of a client is not kept.
const { createServer } = require("http");
const { Server } = require("socket.io");

const httpServer = createServer();
const io = new Server(httpServer, { pingInterval: 600000, pingTimeout: 600000 });

io.engine.on("connection", (rawSocket) => {
  rawSocket.request = null;
});

io.on("connection", (socket) => {
  socket.on("join", (room, answer) => {
    socket.join(room);
    answer(true);
  });
  socket.on("broadcast", (room, count, size) => {
    for (let i = 0; i < count; i++) io.to(room).emit("news", i, "x".repeat(size - 1));
  });
});

httpServer.listen({ port: 0, host: "127.0.0.1", backlog: 1024 }, () => console.log(httpServer.address().port));
