// The chat as a page of its own, in an iframe or a second browser: its address carries the
// credential, and so does its WebSocket's.

import { Chat } from "./chat.js";
import { byId } from "./dom.js";

const query = new URLSearchParams(location.search);
query.set("browser", `second-${crypto.randomUUID().slice(0, 8)}`);
const chat = new Chat(byId("chat"));
chat.connect(`ws://${location.host}/room?${query}`);
// Neither the history nor a screenshot should keep it.
history.replaceState(null, "", location.pathname);
