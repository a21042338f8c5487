// What was sent, against what arrived: pure, so that each row's fate is decided in one place.
// A row is { kind, name, value, fate }: kept, removed or changed on the left; kept, added,
// changed, network (set afresh by any proxy) or browser (its own, passed on) on the right.

const OF_THE_NETWORK = /^(forwarded|x-real-ip|x-forwarded-.*)$/i;
const OURS = /^countersign-/i;

/** The rows of a request that this page made. */
export function rowsOf({ query, headers, body }) {
  return [
    ...query.map(([name, value]) => row("query", name, value)),
    ...headers.map(([name, value]) => row("header", name, value)),
    ...members(body).map(([name, value]) => row("body", name, value)),
  ];
}

/** The rows of a request as the backend tells it. */
export function rowsHeard({ target, headers, body }) {
  const [, query = ""] = target.split(/\?(.*)/s);
  const parsed = safely(body);
  return [
    ...[...new URLSearchParams(query)].map(([name, value]) => row("query", name, value)),
    ...headers.map(([name, value]) => row("header", name, value)),
    ...(parsed ? members(parsed).map(([name, value]) => row("body", name, value)) : []),
  ];
}

/** Both lists, each row with its fate. */
export function compare(sent, received) {
  const same = (one, other) =>
    one.kind === other.kind && one.name.toLowerCase() === other.name.toLowerCase();
  const equal = (one, other) => same(one, other) && one.value === other.value;
  const left = sent.map((one) => ({
    ...one,
    fate: received.some((other) => equal(one, other)) ? "kept" : "removed",
  }));
  const right = received.map((one) => {
    if (sent.some((other) => equal(one, other))) return { ...one, fate: "kept" };
    if (one.kind !== "header" || OURS.test(one.name)) return { ...one, fate: "added" };
    return { ...one, fate: OF_THE_NETWORK.test(one.name) ? "network" : "browser" };
  });
  return { left, right };
}

const row = (kind, name, value) => ({ kind, name, value: String(value), fate: "kept" });

/** An object's leaves with their paths. */
function members(value, path = "") {
  if (value === null || typeof value !== "object") return path ? [[path, value]] : [];
  return Object.entries(value).flatMap(([name, inner]) => members(inner, `${path}/${name}`));
}

function safely(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
