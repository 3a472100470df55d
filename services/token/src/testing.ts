import { hkdfSync, randomUUID } from 'node:crypto';
import { credentialHeader, questions } from '@gatehouse/kit';
import { type ApiAnswer, type ApiOptions, startPlatform, type TestPlatform } from '@gatehouse/kit/testing';
import type { Static, TSchema } from 'typebox';
import { token } from './service.ts';

type Question<Ask extends TSchema, Reply extends TSchema> = {
  readonly service: string;
  readonly name: string;
  readonly ask: Ask;
  readonly answer: Reply;
};

/** The pair that a sign-in gave, and whose it is. */
export interface SignedIn {
  readonly userId: string;
  readonly tenantId: string;
  readonly sessionId: string;
  readonly access: string;
  readonly refresh: string;
}

/** Who signs in; what is left out is made up. */
export interface Person {
  readonly userId?: string;
  readonly tenantId?: string;
  readonly roles?: readonly string[];
  readonly version?: number;
  readonly ip?: string;
  readonly agent?: string;
}

/** An event as it stands in the outbox. */
export interface Told {
  readonly type: string;
  readonly tenant_id: string | null;
  readonly aggregate: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly traceparent: string | null;
}

/** A token service under test, asked as auth would ask it. */
export interface TestToken {
  readonly platform: TestPlatform;
  ask<Ask extends TSchema, Reply extends TSchema>(
    about: Question<Ask, Reply>,
    body: Static<Ask>,
  ): Promise<Static<Reply>>;
  signIn(person?: Person): Promise<SignedIn>;
  refresh(refreshToken: unknown, from?: ApiOptions['headers']): Promise<ApiAnswer>;
  /** Events of a type, optionally of one aggregate, the oldest first. */
  told(type: string, aggregate?: string): Promise<Told[]>;
  restart(overrides?: Record<string, string>): Promise<TestToken>;
}

/** Starts the token service alone, on a database and a nats-server of its own. */
export async function startToken(overrides: Record<string, string> = {}): Promise<TestToken> {
  return tokenOn(await startPlatform([token], overrides));
}

function tokenOn(platform: TestPlatform): TestToken {
  const { api, database, env } = platform;
  const headers = { [credentialHeader]: credentialOf(env.GATEHOUSE_SECRET ?? '') };
  const ask: TestToken['ask'] = async (about, body) => {
    const answer = await api.post(`/internal/${about.service}/${about.name}`, body, { headers });
    if (answer.status !== 200) throw new Error(`${about.name} answered ${answer.status} ${answer.text}`);
    return answer.body;
  };
  return {
    platform,
    ask,
    async signIn(person = {}) {
      const asked = openingOf(person);
      const opened = await ask(questions.openSession, asked);
      if (opened.outcome !== 'opened') throw new Error(`sign-in was refused: ${opened.outcome}`);
      const { access_token: access, refresh_token: refresh, session_id: sessionId } = opened.tokens;
      return { userId: asked.subject.user_id, tenantId: asked.subject.tenant_id, sessionId, access, refresh };
    },
    refresh: (refreshToken, from = {}) =>
      api.post('/api/auth/refresh', { refresh_token: refreshToken }, { headers: { ...browser, ...from } }),
    told: (type, aggregate) =>
      database.query<Told>(
        `select type, tenant_id, aggregate, data, traceparent from token.outbox
         where type = $1 and ($2::text is null or aggregate = $2) order by sequence`,
        [type, aggregate ?? null],
      ),
    restart: async (changes) => tokenOn(await platform.restart(changes)),
  };
}

/** What every test request says of itself unless told otherwise. */
export const browser = { 'user-agent': 'Firefox', 'x-forwarded-for': '192.0.2.7' };

/** What auth asks for a person. */
export function openingOf(person: Person): Static<typeof questions.openSession.ask> {
  return {
    subject: {
      user_id: person.userId ?? randomUUID(),
      tenant_id: person.tenantId ?? randomUUID(),
      status: 'active',
      roles: [...(person.roles ?? ['USER'])],
      version: person.version ?? 1,
    },
    tenant_version: 1,
    scope: '',
    client_ip: person.ip ?? browser['x-forwarded-for'],
    user_agent: person.agent ?? browser['user-agent'],
    traceparent: null,
  };
}

function credentialOf(secret: string): string {
  const key = hkdfSync(
    'sha256',
    Buffer.from(secret, 'base64url'),
    Buffer.alloc(0),
    'gatehouse/v1/service-credential',
    32,
  );
  return Buffer.from(key).toString('base64url');
}

/** The roles of administrators, as auth writes them. */
export const ADMIN = ['USER', 'ADMIN'];
export const PLATFORM_ADMIN = ['USER', 'ADMIN', 'PLATFORM_ADMIN'];
