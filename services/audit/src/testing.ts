import { hkdfSync, randomUUID } from 'node:crypto';
import { credentialHeader, newId, questions } from '@gatehouse/kit';
import { eventually, startPlatform, type TestPlatform } from '@gatehouse/kit/testing';
import { token } from '@gatehouse/token';
import { audit } from './service.ts';

/** An event for the test's outbox; what is left out is made up. */
export interface Sample {
  readonly id?: string;
  readonly type?: string;
  readonly tenant?: string | null;
  readonly at?: Date;
  readonly data?: Readonly<Record<string, unknown>>;
  readonly aggregate?: string;
  readonly traceparent?: string | null;
}

/** Audit under test, with the token service beside it, so that administrators can ask. */
export interface TestAudit {
  readonly platform: TestPlatform;
  /** Writes events as a service does, into audit's own outbox; resolves with their ids when they are recorded. */
  tell(samples: readonly Sample[]): Promise<string[]>;
  /** The rows of these ids. */
  rows(ids: readonly string[]): Promise<Record<string, unknown>[]>;
  /** An access token of somebody with these roles in this tenant. */
  accessToken(roles: readonly string[], tenantId?: string): Promise<string>;
  /** Asks a question of peers. */
  ask(path: string, body: unknown): Promise<{ status: number; body: Record<string, unknown> }>;
}

/** Starts audit and token in one process. */
export async function startAudit(overrides: Record<string, string> = {}): Promise<TestAudit> {
  return auditOn(await startPlatform([token, audit], overrides));
}

/** The same on a platform that runs audit and token already, such as one that was restarted. */
export function auditOn(platform: TestPlatform): TestAudit {
  const { api, database, env } = platform;
  const headers = { [credentialHeader]: credentialOf(env.GATEHOUSE_SECRET ?? '') };
  const ask = (path: string, body: unknown) => api.post(`/internal/${path}`, body, { headers });
  const rows = (ids: readonly string[]) =>
    database.query(
      'select *, tableoid::regclass::text as partition from audit.event where id = any($1::uuid[])',
      [ids],
    );
  return {
    platform,
    rows,
    ask,
    async tell(samples) {
      const ids = await insert(platform, samples);
      await eventually(async () => (await rows(ids)).length === ids.length);
      return ids;
    },
    async accessToken(roles, tenantId = randomUUID()) {
      const { service, name } = questions.openSession;
      const answer = await ask(`${service}/${name}`, {
        subject: { user_id: randomUUID(), tenant_id: tenantId, status: 'active', roles, version: 1 },
        tenant_version: 1,
        scope: '',
        client_ip: null,
        user_agent: null,
        traceparent: null,
      });
      if (answer.body?.outcome !== 'opened') throw new Error(`sign-in was refused: ${answer.text}`);
      return answer.body.tokens.access_token;
    },
  };
}

/** Writes rows into the outbox without waiting for what becomes of them. */
export async function insert(platform: TestPlatform, samples: readonly Sample[]): Promise<string[]> {
  const all = samples.map((sample) => ({
    id: sample.id ?? newId(),
    type: sample.type ?? 'auth.login.success',
    tenant_id: sample.tenant ?? null,
    aggregate: sample.aggregate ?? 'user:x',
    data: sample.data ?? {},
    traceparent: sample.traceparent ?? null,
    occurred_at: (sample.at ?? new Date()).toISOString(),
  }));
  await platform.database.query(
    `insert into audit.outbox (id, lane, type, subject, tenant_id, aggregate, data, traceparent, occurred_at)
     select id, 1, type, type, tenant_id, aggregate, data, traceparent, occurred_at
     from jsonb_to_recordset($1::jsonb) as e(id uuid, type text, tenant_id uuid, aggregate text, data jsonb,
       traceparent text, occurred_at timestamptz)`,
    [JSON.stringify(all)],
  );
  return all.map(({ id }) => id);
}

function credentialOf(secret: string): string {
  const root = Buffer.from(secret, 'base64url');
  return Buffer.from(
    hkdfSync('sha256', root, Buffer.alloc(0), 'gatehouse/v1/service-credential', 32),
  ).toString('base64url');
}

/** Roles as auth writes them. */
export const USER = ['USER'];
export const ADMIN = ['USER', 'ADMIN'];
export const PLATFORM_ADMIN = ['USER', 'ADMIN', 'PLATFORM_ADMIN'];
