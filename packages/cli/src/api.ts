import { Fault } from './fault.ts';
import { readSession, type StoredSession, writeSession } from './session-file.ts';

/** What the API answered. */
export type Json = Record<string, unknown>;

/** What goes with a request. */
export interface Asked {
  readonly body?: Json | undefined;
  /** The revision that the object must still have (RFC 9110 §13.1.1). */
  readonly ifMatch?: string | undefined;
  readonly timeoutMs?: number;
}

/** An answer with the header that changes need. */
export interface Exchange {
  readonly body: Json;
  readonly etag: string | undefined;
}

const TIMEOUT_MS = 30_000;

/** Tokens as login and refresh answer them. */
interface TokenAnswer {
  access_token: string;
  refresh_token: string;
  expires_in: number;
}

/** Speaks to an installation with an administrator's token. */
export class Api {
  readonly url: string;

  /** @param url The public address, e.g. `http://localhost:8080`. */
  constructor(url: string) {
    if (!URL.canParse(url)) throw new Fault(`${url} is not an address: use --url http://host:port`, 2);
    this.url = url.replace(/\/+$/, '');
  }

  /** Signs in and keeps the tokens. */
  async login(credentials: { email: string; password: string; tenant_id?: string }): Promise<void> {
    await this.#keep((await this.#send('POST', '/api/auth/login', credentials)) as unknown as TokenAnswer);
  }

  /** Ends the kept session. */
  async logout(): Promise<void> {
    const session = await readSession(this.url);
    if (session === undefined) return;
    await this.#send('POST', '/api/auth/logout', undefined, await this.#token()).catch(() => undefined);
    await writeSession(this.url, undefined);
  }

  /** One request as the signed-in administrator. @throws Fault with the problem's sentence. */
  async request(method: string, path: string, body?: Json): Promise<Json> {
    return (await this.exchange(method, path, { body })).body;
  }

  /** As {@link request}, with the headers and the patience that changes need. */
  async exchange(method: string, path: string, asked: Asked = {}): Promise<Exchange> {
    const token = await this.#token();
    try {
      return await this.#exchange(method, path, asked, token);
    } catch (error) {
      const session = await readSession(this.url);
      const ended = error instanceof Refusal && error.status === 401 && session?.access_token === token;
      if (!ended) throw error;
      // The token was refused before its time: either the session lives and a new one helps, or it has ended.
      return this.#exchange(method, path, asked, await this.#refresh(session));
    }
  }

  async #token(): Promise<string> {
    const given = process.env.GATEHOUSE_TOKEN;
    if (given) return given;
    const session = await readSession(this.url);
    if (session === undefined) {
      throw new Fault(`not signed in at ${this.url}: run "gatehouse login" first, or set GATEHOUSE_TOKEN`);
    }
    return session.expires_at - Date.now() > 10_000 ? session.access_token : this.#refresh(session);
  }

  async #refresh(session: StoredSession): Promise<string> {
    try {
      const body = { refresh_token: session.refresh_token };
      const answer = (await this.#send('POST', '/api/auth/refresh', body)) as unknown as TokenAnswer;
      await this.#keep(answer);
      return answer.access_token;
    } catch (error) {
      if (!(error instanceof Refusal) || error.status !== 401) throw error;
      await writeSession(this.url, undefined);
      throw new Fault(`the session at ${this.url} has ended: run "gatehouse login" again`);
    }
  }

  async #keep(answer: TokenAnswer): Promise<void> {
    const { access_token, refresh_token, expires_in } = answer;
    await writeSession(this.url, { access_token, refresh_token, expires_at: Date.now() + expires_in * 1000 });
  }

  async #send(method: string, path: string, body?: Json, token?: string): Promise<Json> {
    return (await this.#exchange(method, path, { body }, token)).body;
  }

  async #exchange(method: string, path: string, asked: Asked, token?: string): Promise<Exchange> {
    const { body, ifMatch, timeoutMs = TIMEOUT_MS } = asked;
    const answer = await fetch(new URL(path, this.url), {
      method,
      headers: {
        'user-agent': 'gatehouse-cli',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(timeoutMs),
    }).catch((error: Error) => {
      throw new Fault(
        `${this.url} cannot be reached (${reasonOf(error)}): is the platform running, is --url right?`,
      );
    });
    const text = await answer.text();
    const parsed = parse(text);
    if (!answer.ok) throw new Refusal(answer.status, parsed, answer.headers.get('retry-after'));
    return { body: parsed, etag: answer.headers.get('etag') ?? undefined };
  }
}

/** The API said no. */
export class Refusal extends Fault {
  readonly status: number;
  /** The problem's code; empty when something else than the API answered. */
  readonly code: string;
  constructor(status: number, problem: Json, retryAfter: string | null) {
    const title = typeof problem.title === 'string' ? problem.title : `HTTP ${status}`;
    const detail = typeof problem.detail === 'string' ? `: ${problem.detail}` : '';
    const code = typeof problem.code === 'string' ? ` (${problem.code})` : '';
    const again = retryAfter === null ? '' : ` Retry after ${retryAfter} s.`;
    super(`${title}${code}${detail}${again}`, 1, detailsOf(problem));
    this.status = status;
    this.code = typeof problem.code === 'string' ? problem.code : '';
  }
}

/** The extension members that say what is wrong in particular: `errors` and `reasons`. */
function detailsOf({ errors, reasons }: Json): string[] {
  const listed = [errors, reasons].flatMap((list) => (Array.isArray(list) ? (list as unknown[]) : []));
  return listed.map((one) => {
    if (typeof one !== 'object' || one === null) return String(one);
    const { path, pointer, message, ...rest } = one as Json;
    const where = path ?? pointer;
    const what = message ?? JSON.stringify(rest);
    return where === undefined || where === '' ? String(what) : `${where}: ${what}`;
  });
}

function parse(text: string): Json {
  try {
    return text === '' ? {} : (JSON.parse(text) as Json);
  } catch {
    return {};
  }
}

function reasonOf(error: Error): string {
  const cause = error.cause as { code?: string } | undefined;
  return cause?.code ?? error.name;
}
