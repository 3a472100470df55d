import { randomBytes } from 'node:crypto';
import type { ApiAnswer } from '@gatehouse/kit/testing';
import type { Actor, TestNatsIdentity } from './testing.ts';

/** Calls under /api/nats in somebody's name. */
export interface Calls {
  request(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<ApiAnswer>;
  get(path: string): Promise<ApiAnswer>;
  post(path: string, body?: unknown, headers?: Record<string, string>): Promise<ApiAnswer>;
  put(path: string, body?: unknown, headers?: Record<string, string>): Promise<ApiAnswer>;
  patch(path: string, body?: unknown, headers?: Record<string, string>): Promise<ApiAnswer>;
  delete(path: string, headers?: Record<string, string>): Promise<ApiAnswer>;
}

/** Calls in the name of an actor; undefined: nobody's. */
export function callsOf({ api }: Pick<TestNatsIdentity, 'api'>, actor: Actor | undefined): Calls {
  const request: Calls['request'] = (method, path, body, headers = {}) =>
    api.request(method, `/api/nats${path}`, body, { token: actor?.token, headers });
  return {
    request,
    get: (path) => request('GET', path),
    post: (path, body = {}, headers) => request('POST', path, body, headers),
    put: (path, body = {}, headers) => request('PUT', path, body, headers),
    patch: (path, body = {}, headers) => request('PATCH', path, body, headers),
    delete: (path, headers) => request('DELETE', path, undefined, headers),
  };
}

/** Status and code, as tests of refusals compare them. */
export const codeOf = ({ status, body }: Pick<ApiAnswer, 'status' | 'body'>) => [status, body?.code];

/** A name that nothing else has. */
export const freshName = (about: string) => `${about}-${randomBytes(5).toString('hex')}`;

const tables = [
  'secret',
  'operator',
  'operator_key',
  'account',
  'account_key',
  'nats_user',
  'credential',
  'revocation',
  'allowance',
];

/** Everything that a change could leave behind, but when a deletion looks again. The outbox counts too: a dry run is told to nobody. */
export async function dumpOf({ platform }: Pick<TestNatsIdentity, 'platform'>): Promise<string[]> {
  const rows = await Promise.all([
    ...tables.map((table) =>
      platform.database.query<{ row: string }>(
        `select '${table}' || ' ' || (to_jsonb(t) - 'state_due_at' - 'state_detail')::text as row from natsid.${table} t`,
      ),
    ),
    // What is wanted; how far it is proven goes on beside the test.
    platform.database.query<{ row: string }>(
      `select 'account_sync ' || cluster_id || account_id || wanted as row from natsid.account_sync`,
    ),
    // What somebody did; what the platform tells of by itself goes on beside the test, too.
    platform.database.query<{ row: string }>(
      `select 'outbox ' || id as row from natsid.outbox where data ->> 'actor_id' is not null`,
    ),
  ]);
  return rows
    .flat()
    .map(({ row }) => row)
    .sort();
}
