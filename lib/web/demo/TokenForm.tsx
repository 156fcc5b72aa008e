// TokenForm.tsx - where the server gives no tokens to visitors, they bring one. SPDX-License-Identifier: Apache-2.0
import { useState, type FormEvent } from "react";
import { Brand } from "./Header.js";
import { visitorOf, type Visitor } from "./visitor.js";

export function TokenForm({ onVisitor }: { readonly onVisitor: (visitor: Visitor) => void }) {
  const [text, setText] = useState("");
  const [isWrong, setIsWrong] = useState(false);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const visitor = visitorOf(text.trim());
    if (visitor) onVisitor(visitor);
    else setIsWrong(true);
  };
  return (
    <main id="feed" className="center">
      <Brand />
      <h1>Who votes?</h1>
      <p>This server knows its visitors by a token. <code>vote-admin token --user NAME</code> makes one.</p>
      <form className="token" onSubmit={submit}>
        <label htmlFor="token">Token</label>
        <input
          id="token" type="password" autoComplete="off" spellCheck={false} value={text}
          aria-invalid={isWrong} aria-describedby="token-wrong" onChange={({ target }) => setText(target.value)}
        />
        <p id="token-wrong" role="alert">{isWrong && "This is no token: three parts with dots between are one."}</p>
        <button type="submit" className="solid">Go on</button>
      </form>
    </main>
  );
}
