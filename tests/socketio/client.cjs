// client.cjs - what a page does, with an official JavaScript client:
//     node client.cjs URL PACKAGE TRANSPORT...
// Ends with 0 when all of it worked. SPDX-License-Identifier: Apache-2.0
const assert = require("node:assert");
const [url, name, ...transports] = process.argv.slice(2);
const { io } = require(name);

const open = (namespace, options = {}) => io(url + namespace, { transports, forceNew: true, ...options });
const once = (socket, event) => new Promise((resolve) => socket.once(event, (...args) => resolve(args)));
const call = (socket, ...args) => new Promise((resolve) => socket.emit(...args, resolve));
const transport = (socket) => socket.io.engine.transport.name;

async function until(what) {
  for (let i = 0; i < 200 && !what(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  assert(what(), `${what}`);
}

const tests = {
  async "connects with a payload, on the transport asked for"() {
    const socket = open("/", { auth: { token: "123" } });
    assert.deepStrictEqual(await once(socket, "auth"), [{ token: "123" }]);
    assert.match(socket.id, /^[\w-]{20}$/);
    const last = transports[transports.length - 1];
    await until(() => transport(socket) === last);
    socket.close();
  },
  async "is told why it may not connect"() {
    const refused = open("/", { auth: { refuse: true } });
    const [error] = await once(refused, "connect_error");
    assert.strictEqual(error.message, "refused");
    assert.deepStrictEqual(error.data, { code: 7 });
    refused.close();
    const unknown = open("/random");
    assert.strictEqual((await once(unknown, "connect_error"))[0].message, "Invalid namespace");
    unknown.close();
  },
  async "gets events, attachments and acknowledgements back"() {
    const socket = open("/custom");
    socket.emit("message", 1, "2", { 3: [true] });
    assert.deepStrictEqual(await once(socket, "message-back"), [1, "2", { 3: [true] }]);
    const back = once(socket, "message-back");
    socket.emit("message", { nested: [Buffer.from([1, 2, 3])] }, Buffer.from([4]));
    const [first, second] = await back;
    assert.deepStrictEqual([...new Uint8Array(first.nested[0])], [1, 2, 3]);
    assert.deepStrictEqual([...new Uint8Array(second)], [4]);
    assert.strictEqual(await call(socket, "message-with-ack", "€"), "€");
    socket.close();
  },
  async "answers what the server asks"() {
    const socket = open("/");
    socket.on("question", (number, answer) => answer(number + 1));
    const answered = once(socket, "answered");
    socket.emit("ask", 6);
    assert.deepStrictEqual(await answered, [7]);
    socket.close();
  },
  async "loses and doubles nothing while it upgrades"() {
    const socket = open("/");
    const came = [];
    socket.on("message-back", (number) => came.push(number));
    await once(socket, "connect");
    for (let i = 0; i < 300; i++) {
      socket.emit("message", i);
      if (i % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await until(() => came.length >= 300);
    assert.deepStrictEqual(came, [...Array(300).keys()]);
    socket.close();
  },
  async "shares one connection among namespaces"() {
    const main = io(url + "/", { transports });
    const custom = io(url + "/custom", { transports });
    await Promise.all([once(main, "connect"), once(custom, "connect")]);
    assert.strictEqual(main.io, custom.io);
    custom.close();
    assert.strictEqual(await call(main, "message-with-ack", 1), 1);
    main.close();
  },
  async "hears a broadcast to its room"() {
    const [inside, other] = [open("/"), open("/")];
    await call(inside, "join", "js");
    const news = once(inside, "news");
    await call(other, "broadcast", "js", 1, 3);
    assert.deepStrictEqual(await news, [0, "xx"]);
    inside.close();
    other.close();
  },
  async "outlives several pings"() {
    const socket = open("/");
    await once(socket, "connect");
    socket.on("disconnect", (reason) => assert.fail(reason));
    await new Promise((resolve) => setTimeout(resolve, 1200));
    assert(socket.connected);
    socket.off("disconnect");
    socket.close();
  },
  async "comes back by itself when the server closes the connection"() {
    const socket = open("/", { reconnectionDelay: 10 });
    await once(socket, "connect");
    const gone = once(socket, "disconnect");
    socket.emit("close-me");
    assert.match((await gone)[0], /^transport (close|error)$/);
    await once(socket, "connect");
    socket.close();
  },
  async "stays away when the server disconnects it"() {
    const socket = open("/", { reconnectionDelay: 10 });
    await once(socket, "connect");
    socket.emit("disconnect-me");
    assert.deepStrictEqual((await once(socket, "disconnect"))[0], "io server disconnect");
    socket.close();
  },
};

(async () => {
  for (const [title, test] of Object.entries(tests)) {
    const late = setTimeout(() => {
      console.error(`not ok: ${title}: too late`);
      process.exit(1);
    }, 10000);
    try {
      await test();
      console.log(`ok: ${title}`);
    } catch (error) {
      console.error(`not ok: ${title}: ${error.stack}`);
      process.exit(1);
    }
    clearTimeout(late);
  }
  process.exit(0);
})();
