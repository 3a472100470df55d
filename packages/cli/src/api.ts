import { Fault } from './fault.ts';
import { profileAt } from './installation.ts';
import { addressOf } from './profile.ts';
import { type Asked, send } from './send.ts';
import {
  readSession,
  replaceSession,
  type SessionOwner,
  type StoredSession,
  writeSession,
} from './session-file.ts';

export type { Asked } from './send.ts';

/** What the API answered. */
export type Json = Record<string, unknown>;

/** An answer with the header that changes need. */
export interface Exchange {
  readonly body: Json;
  readonly etag: string | undefined;
}

/** A token that ends sooner is renewed first: the request must still arrive with it. */
const RENEW_BEFORE_MS = 10_000;

/** Tokens as login and refresh answer them. */
interface TokenAnswer {
  access_token: string;
  refresh_token: string;
  expires_in: number;
}

/** Speaks to an installation with an administrator's token. */
export class Api {
  readonly url: string;
  readonly #owner: SessionOwner;

  /**
   * @param url The public address, e.g. `http://localhost:8080`.
   * @param profile Whose sign-in counts there; the one that this run was told to use unless given.
   */
  constructor(url: string, profile: string | undefined = profileAt(url)) {
    this.url = addressOf(url);
    this.#owner = { url: this.url, profile };
  }

  /** Signs in and keeps the tokens. */
  async login(credentials: { email: string; password: string; tenant_id?: string }): Promise<void> {
    const answer = (await this.#send('POST', '/api/auth/login', credentials)) as unknown as TokenAnswer;
    if (typeof answer.access_token !== 'string')
      throw new Fault('the account asks for a second factor, which this command cannot answer');
    await writeSession(this.#owner, sessionOf(answer));
  }

  /** Ends the kept session. Answers whether the installation knows; forgotten here it is in any case. */
  async logout(): Promise<'none' | 'ended' | 'untold'> {
    if ((await readSession(this.#owner)) === undefined) return 'none';
    try {
      await this.#send('POST', '/api/auth/logout', undefined, await this.#kept());
      return 'ended';
    } catch (error) {
      const over = error instanceof SessionEnded || (error instanceof Refusal && error.status === 401);
      return over ? 'ended' : 'untold';
    } finally {
      await writeSession(this.#owner, undefined);
    }
  }

  /** Whether requests can be made: a token was given, or a sign-in is kept. */
  async signedIn(): Promise<boolean> {
    return Boolean(process.env.GATEHOUSE_TOKEN) || (await readSession(this.#owner)) !== undefined;
  }

  /** The access token that the next request goes out with. */
  token(): Promise<string> {
    return process.env.GATEHOUSE_TOKEN ? Promise.resolve(process.env.GATEHOUSE_TOKEN) : this.#kept();
  }

  /** One request as the signed-in administrator. @throws Fault with the problem's sentence. */
  async request(method: string, path: string, body?: Json): Promise<Json> {
    return (await this.exchange(method, path, { body })).body;
  }

  /** As {@link request}, with the headers and the patience that changes need. */
  async exchange(method: string, path: string, asked: Asked = {}): Promise<Exchange> {
    const token = await this.token();
    try {
      return await this.#exchange(method, path, asked, token);
    } catch (error) {
      // A wrong password is refused alike, and asking again would count as another try.
      const refused =
        error instanceof Refusal && error.status === 401 && error.code !== 'invalid_credentials';
      if (!refused || process.env.GATEHOUSE_TOKEN) throw error;
      // The token was refused before its time: either the session lives and a new one helps, or it has ended.
      return this.#exchange(method, path, asked, await this.#renewed((kept) => kept.access_token !== token));
    }
  }

  async #kept(): Promise<string> {
    const session = await readSession(this.#owner);
    if (session === undefined) throw this.#notSignedIn();
    const fresh = ({ expires_at }: StoredSession) => expires_at - Date.now() > RENEW_BEFORE_MS;
    return fresh(session) ? session.access_token : this.#renewed(fresh);
  }

  /** A new access token; `good`: whether what is kept will do, because another command has renewed it meanwhile. */
  async #renewed(good: (kept: StoredSession) => boolean): Promise<string> {
    return replaceSession(this.#owner, async (kept) => {
      if (kept === undefined) throw this.#notSignedIn();
      if (good(kept)) return { keep: kept, result: kept.access_token };
      const spent = await this.#refresh(kept.refresh_token);
      return spent === 'ended'
        ? { keep: undefined, result: undefined }
        : { keep: spent, result: spent.access_token };
    }).then((token) => {
      if (token === undefined) throw new SessionEnded(this.#at());
      return token;
    });
  }

  async #refresh(refresh_token: string): Promise<StoredSession | 'ended'> {
    try {
      const answer = await this.#send('POST', '/api/auth/refresh', { refresh_token });
      return sessionOf(answer as unknown as TokenAnswer);
    } catch (error) {
      if (error instanceof Refusal && error.status === 401) return 'ended';
      throw error;
    }
  }

  #notSignedIn(): Fault {
    return new Fault(`not signed in at ${this.#at()}: run "gatehouse login" first, or set GATEHOUSE_TOKEN`);
  }

  #at(): string {
    const { url, profile } = this.#owner;
    return profile === undefined ? url : `${url} (profile ${profile})`;
  }

  async #send(method: string, path: string, body?: Json, token?: string): Promise<Json> {
    return (await this.#exchange(method, path, { body }, token)).body;
  }

  async #exchange(method: string, path: string, asked: Asked, token?: string): Promise<Exchange> {
    const answer = await send(this.url, { method, path, asked, token });
    const parsed = parse(await answer.text());
    if (!answer.ok) throw new Refusal(answer.status, parsed, answer.headers.get('retry-after'));
    return { body: parsed, etag: answer.headers.get('etag') ?? undefined };
  }
}

const sessionOf = ({ access_token, refresh_token, expires_in }: TokenAnswer): StoredSession => ({
  access_token,
  refresh_token,
  expires_at: Date.now() + expires_in * 1000,
});

/** The kept session is over; it is forgotten. */
class SessionEnded extends Fault {
  constructor(where: string) {
    super(`the session at ${where} has ended: run "gatehouse login" again`);
  }
}

/** The API said no. */
export class Refusal extends Fault {
  readonly status: number;
  /** The problem's code; empty when something else than the API answered. */
  readonly code: string;
  readonly #problem: Json;
  constructor(status: number, problem: Json, retryAfter: string | null) {
    const title = typeof problem.title === 'string' ? problem.title : `HTTP ${status}`;
    const detail = typeof problem.detail === 'string' ? `: ${problem.detail}` : '';
    const code = typeof problem.code === 'string' ? ` (${problem.code})` : '';
    const again = retryAfter === null ? '' : ` Retry after ${retryAfter} s.`;
    super(`${title}${code}${detail}${again}`, 1, detailsOf(problem));
    this.status = status;
    this.code = typeof problem.code === 'string' ? problem.code : '';
    this.#problem = problem;
  }

  override get problem(): Json {
    return { ...this.#problem, status: this.status };
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
