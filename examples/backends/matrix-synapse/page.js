// A chat on Matrix's client-server API, as small as it gets: log in, one room, write, read.
// Nothing here knows of Countersign: the token is the website's, the address is the chat's.

const status = document.querySelector("#status");
const form = document.querySelector("#write");

// From the website's own server, for whoever is signed in there.
const { chat, token } = await (await fetch("chat-token", { cache: "no-store" })).json();
let accessToken;

/** One call of the API; throws what the server says if that is no. */
async function call(method, path, body) {
  const headers = accessToken ? { Authorization: `Bearer ${accessToken}` } : {};
  if (body) headers["Content-Type"] = "application/json";
  const answer = await fetch(`${chat}/_matrix/client/v3/${path}`, {
    method, headers, body: body && JSON.stringify(body),
  });
  const said = await answer.json();
  if (!answer.ok) throw new Error(`${answer.status} ${said.code ?? said.errcode}`);
  return said;
}

/** Shows what is written in the room, from now on. */
async function read(room) {
  const filter = encodeURIComponent(JSON.stringify({ room: { rooms: [room] } }));
  let since = "";
  for (;;) {
    const news = await call("GET", `sync?timeout=30000&filter=${filter}${since}`);
    since = `&since=${encodeURIComponent(news.next_batch)}`;
    for (const event of news.rooms?.join?.[room]?.timeline.events ?? []) {
      if (event.type !== "m.room.message") continue;
      const line = document.createElement("li");
      line.textContent = `${event.sender}: ${event.content.body}`;
      document.querySelector("#messages").append(line);
    }
  }
}

try {
  const login = await call("POST", "login", { type: "org.matrix.login.jwt", token });
  accessToken = login.access_token;
  const { displayname } = await call("GET", `profile/${encodeURIComponent(login.user_id)}`);
  const room = (await call("POST", "createRoom", { preset: "private_chat", name: "Support" })).room_id;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = form.text.value;
    form.reset();
    const path = `rooms/${encodeURIComponent(room)}/send/m.room.message/${crypto.randomUUID()}`;
    await call("PUT", path, { msgtype: "m.text", body });
  });
  form.hidden = false;
  status.textContent = `Logged in as ${displayname} (${login.user_id})`;
  await read(room);
} catch (error) {
  form.hidden = true;
  status.textContent = `Not logged in: ${error.message}`;
}
