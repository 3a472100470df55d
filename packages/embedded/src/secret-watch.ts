import { subscribe } from 'node:diagnostics_channel';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/**
 * What is secret in this process' run: settings, credentials files, and every password, token and key that goes over
 * HTTP. Tests search the logs for all of it, so that a new test is covered without anybody remembering.
 */
const seen = new Map<string, string>();

/** Everything seen so far, each with what it is. */
export const secretsSeen = (): ReadonlyMap<string, string> => seen;

/** Shorter ones are words, counts and codes that any log holds for other reasons. */
const SECRET_CHARS_MIN = 8;
/** An export or a backup on its way: its fields are not searched beyond this. */
const BODY_BYTES_MAX = 4 * 1024 * 1024;

const secretField =
  /(?:^|[_-])(?:password|passphrase|secret|token|seed|creds|credential|cookie|pepper|private_key|recovery_codes?|code_verifier|authorization)$/i;
/** Refused as a password all the same, and in the text of many a message. */
const words = /^(?:password|undefined|\*+)$/i;

const nameAndValue = /(?<![a-z_])([a-z_]+)["']?\s{0,9}[=:]\s{0,9}["']?([^\s"'&,}]+)/gi;

/** Notes one secret. What it is stands in the report when a log tells it. */
export function noteSecret(value: string, what: string): void {
  const trimmed = value.trim();
  if (trimmed.length < SECRET_CHARS_MIN || words.test(trimmed)) return;
  const lines = trimmed.split(/\r?\n/).map((line) => line.trim());
  if (lines.length === 1) return void seen.set(trimmed, what);
  // Of PEM and creds a log may hold any line; the armour and the advice around them are known to everybody.
  for (const line of lines)
    if (line.length >= SECRET_CHARS_MIN && !/\s|^[-*]{3,}/.test(line)) seen.set(line, what);
}

/** Notes what is secret among settings: by their names, and the passwords in addresses. */
export function noteSettings(env: Readonly<Record<string, string | undefined>>): void {
  for (const [name, value = ''] of Object.entries(env)) {
    if (isSecretSetting(name))
      // ENCRYPTION_KEYS is a list of `id:key`.
      for (const part of value.split(/[,\s]+(?=\w+:)/)) noteSecret(part.replace(/^\w+:/, ''), name);
    const password = /^[a-z][a-z0-9+.-]*:\/\/[^\s/@:]*:([^\s/@]+)@/i.exec(value)?.[1];
    if (password !== undefined) noteSecret(decodeURIComponent(password), `the password of ${name}`);
  }
}

/** Whether a setting of this name is secret; the settings' own declarations are held against it by a test. */
export const isSecretSetting = (name: string): boolean =>
  /(?:^|_)(?:SECRET|PASSWORD|PASSPHRASE|PEPPERS?|PRIVATE_KEY(?:_PEM)?|ENCRYPTION_KEYS|PREVIOUS_SECRETS?)$/.test(
    name,
  );

/** Notes the seeds in every file of a folder. */
export function noteSeedsIn(folder: string): void {
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const path = join(folder, name);
    if (!statSync(path).isFile()) continue;
    for (const [seed] of readFileSync(path, 'utf8').matchAll(/\bS[ACNOUX][A-Z2-7]{56}\b/g))
      noteSecret(seed, `a seed of ${name}`);
  }
}

/** Notes every secret in a body: by the names of its fields. */
export function noteBody(text: string, whose: string): void {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    // A form, lines of JSON, or deliberately broken JSON.
    for (const [, name = '', value = ''] of text.matchAll(nameAndValue))
      if (secretField.test(name)) noteSecret(value, `${name} of ${whose}`);
    return;
  }
  noteFields(body, whose);
}

// With a list of its own: what tests send on purpose is nested deeper than calls may be.
function noteFields(body: unknown, whose: string): void {
  const open: [name: string, value: unknown][] = [['', body]];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [name, value] = next;
    if (typeof value === 'string') {
      if (secretField.test(name)) noteSecret(value, `${name} of ${whose}`);
    } else if (Array.isArray(value)) for (const one of value) open.push([name, one]);
    else if (typeof value === 'object' && value !== null)
      for (const entry of Object.entries(value)) open.push(entry);
  }
}

/** Notes the secrets of headers, given as undici does: name, value, name, value. */
function noteHeaders(headers: readonly unknown[], whose: string): void {
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = String(headers[at]);
    if (!secretField.test(name)) continue;
    const value = String(headers[at + 1]);
    if (/cookie$/i.test(name))
      for (const pair of value.split(/;\s*/))
        noteSecret(pair.slice(pair.indexOf('=') + 1), `a cookie of ${whose}`);
    else noteSecret(value.replace(/^(?:Bearer|Basic) +/i, ''), `${name} of ${whose}`);
  }
}

interface Exchange {
  readonly request: { readonly method?: string; readonly path?: string; readonly headers?: unknown };
  readonly response?: { readonly headers: readonly unknown[] };
  readonly chunk?: Uint8Array;
}

let watching = false;

/** Begins to note what is secret in every request that this process makes with `fetch` or undici. */
export function watchSecrets(): void {
  if (watching) return;
  watching = true;
  const bodies = new WeakMap<object, { sent: Uint8Array[]; received: Uint8Array[]; bytes: number }>();
  const on = (name: string, note: (exchange: Exchange) => void) =>
    subscribe(`undici:request:${name}`, (message) => note(message as Exchange));
  const keep = (which: 'sent' | 'received') => (exchange: Exchange) => {
    const kept = bodies.get(exchange.request) ?? { sent: [], received: [], bytes: 0 };
    bodies.set(exchange.request, kept);
    const chunk = exchange.chunk ?? new Uint8Array();
    if (kept.bytes + chunk.length > BODY_BYTES_MAX) return;
    kept.bytes += chunk.length;
    // Its memory is the parser's and used again.
    kept[which].push(Uint8Array.from(chunk));
  };
  const read = ({ request }: Exchange) => {
    const kept = bodies.get(request);
    bodies.delete(request);
    const route = `${request.method} ${request.path?.split('?', 1)[0]}`;
    noteBody(Buffer.concat(kept?.sent ?? []).toString(), `the request ${route}`);
    noteBody(Buffer.concat(kept?.received ?? []).toString(), `the answer to ${route}`);
  };
  on('create', ({ request }) => {
    if (Array.isArray(request.headers)) noteHeaders(request.headers, 'a request');
    noteBody(request.path?.split('?', 2)[1] ?? '', 'an address');
  });
  on('bodyChunkSent', keep('sent'));
  on('bodyChunkReceived', keep('received'));
  on('headers', ({ response }) => {
    noteHeaders((response?.headers ?? []).map(String), 'an answer');
  });
  on('trailers', read);
  on('error', read);
}
