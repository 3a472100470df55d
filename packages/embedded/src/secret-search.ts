/** What was secret in a run, each with what it is: `password of a request`. */
export type Secrets = ReadonlyMap<string, string>;

/** A line that tells a secret. */
export interface Leak {
  /** What is told. */
  readonly what: string;
  readonly log: string;
  readonly line: number;
  /** The line, without the secret. */
  readonly text: string;
}

/** What is a secret by its looks, whoever made it and whether or not a test has seen it. */
const looks: readonly (readonly [what: string, form: RegExp])[] = [
  ['a JWT', /\beyJ[\w-]{10,}\.eyJ[\w-]{10,}(?:\.[\w-]*)?/g],
  ['an nkey seed', /\bS[ACNOUX][A-Z2-7]{56}\b/g],
  ['a bearer token', /\bBearer [\w.~+/-]{12,}/gi],
  ['a basic login', /\bBasic [A-Za-z0-9+/]{12,}={0,2}/g],
  ['a login in an address', /\b[a-z][a-z0-9+.-]*:\/\/[^\s/@"':]*:[^\s/@"']+@/gi],
  ['a private key', /-----BEGIN [A-Z ]*PRIVATE KEY-----/g],
  ['a curve private key', /AGE-SECRET-KEY-1[A-Z0-9]{20,}/g],
];

const LINE_CHARS_SHOWN = 400;
const NEEDLE_BYTES = 4;

/** Every line of a log that tells one of the secrets, or something that looks like one. */
export function findLeaks(log: string, content: Buffer, secrets: Secrets): Leak[] {
  const places = [...knownIn(content, secrets), ...byLooks(content)].sort((a, b) => a.at - b.at);
  return places.map(({ at, length, what }) => leakAt(log, content, { at, length, what }));
}

/** What was logged to one place. */
export interface Logged {
  readonly name: string;
  readonly content: Buffer;
}

/** Throws when a log tells a secret. */
export function refuseLeaks(logs: readonly Logged[], secrets: Secrets): void {
  const leaks = logs.flatMap(({ name, content }) => findLeaks(name, content, secrets));
  if (leaks.length > 0) throw new Error(describeLeaks(leaks));
}

/** What a failed search says: each kind of leak once a log, with its first line. */
export function describeLeaks(leaks: readonly Leak[]): string {
  const first = new Map<string, Leak & { times: number }>();
  for (const leak of leaks) {
    const key = `${leak.log} ${leak.what}`;
    const known = first.get(key);
    first.set(key, known === undefined ? { ...leak, times: 1 } : { ...known, times: known.times + 1 });
  }
  const lines = [...first.values()].map(
    ({ log, line, what, text, times }) =>
      `${log}:${line} tells ${what}${times > 1 ? ` (${times} times)` : ''}: ${text}`,
  );
  return `secrets in the logs:\n${lines.join('\n')}`;
}

interface Place {
  readonly at: number;
  readonly length: number;
  readonly what: string;
}

/**
 * One pass however many secrets there are: a position is looked at closely only when four of its bytes begin one.
 * A run of the specs knows thousands of tokens.
 */
function* knownIn(content: Buffer, secrets: Secrets): Generator<Place> {
  const byStart = new Map<number, { bytes: Buffer; what: string }[]>();
  for (const [secret, what] of secrets)
    for (const spelling of spellingsOf(secret)) {
      const bytes = Buffer.from(spelling);
      const start = bytes.readUInt32LE(0);
      byStart.set(start, [...(byStart.get(start) ?? []), { bytes, what }]);
    }
  for (let at = 0; at + NEEDLE_BYTES <= content.length; at += 1) {
    for (const { bytes, what } of byStart.get(content.readUInt32LE(at)) ?? [])
      if (content.compare(bytes, 0, bytes.length, at, Math.min(at + bytes.length, content.length)) === 0)
        yield { at, length: bytes.length, what };
  }
}

/** As itself, as a JSON string writes it, and as a URL does. */
const spellingsOf = (secret: string): ReadonlySet<string> =>
  new Set([secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret.toWellFormed())]);

function* byLooks(content: Buffer): Generator<Place> {
  const text = content.toString('latin1');
  for (const [what, form] of looks)
    for (const match of text.matchAll(form)) yield { at: match.index, length: match[0].length, what };
}

function leakAt(log: string, content: Buffer, { at, length, what }: Place): Leak {
  const start = content.lastIndexOf('\n', at) + 1;
  const found = content.indexOf('\n', at + length);
  const end = found === -1 ? content.length : found;
  const before = content.toString('utf8', Math.max(start, at - LINE_CHARS_SHOWN), at);
  const after = content.toString('utf8', at + length, Math.min(end, at + length + LINE_CHARS_SHOWN));
  let line = 1;
  for (let position = content.indexOf('\n'); position !== -1 && position < at; line += 1)
    position = content.indexOf('\n', position + 1);
  return { what, log, line, text: `${before}[${what}]${after}` };
}
