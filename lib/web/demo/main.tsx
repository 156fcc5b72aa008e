// main.tsx - where the page begins. SPDX-License-Identifier: Apache-2.0
import { createRoot } from "react-dom/client";
import { App } from "./App.js";
import "./css/base.css";
import "./css/feed.css";
import "./css/panels.css";

createRoot(document.getElementById("root")!).render(<App />);
