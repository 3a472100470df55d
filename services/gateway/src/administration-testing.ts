import { hkdfSync, randomUUID } from 'node:crypto';
import { audit } from '@gatehouse/audit';
import { auth } from '@gatehouse/auth';
import { credentialHeader, questions, type Running, run } from '@gatehouse/kit';
import { type Api, apiOf, startPlatform, type TestPlatform } from '@gatehouse/kit/testing';
import { token } from '@gatehouse/token';
import { gateway } from './service.ts';

/** Where nothing listens. */
export const nowhere = 'http://127.0.0.1:9';

/** Roles as auth writes them. */
export const [USER, SUPPORT, AUDITOR, ADMIN, PLATFORM_ADMIN] = [
  ['USER'],
  ['USER', 'SUPPORT'],
  ['USER', 'AUDITOR'],
  ['USER', 'ADMIN'],
  ['USER', 'ADMIN', 'PLATFORM_ADMIN'],
] as const;

/** A gateway in front of auth, token and audit, which are another process. */
export interface Administered {
  /** The process behind. */
  readonly behind: TestPlatform;
  readonly api: Api;
  readonly env: Readonly<Record<string, string>>;
  /** An access token of somebody with these roles. */
  accessToken(roles: readonly string[]): Promise<string>;
  /** One more gateway in front of the same services, with these settings besides. */
  another(settings?: Record<string, string>): Promise<Running & { readonly api: Api }>;
  close(): Promise<void>;
}

/** Starts two processes; nats-identity is away. */
export async function startAdministered(overrides: Record<string, string> = {}): Promise<Administered> {
  const behind = await startPlatform([auth, token, audit], {
    ...{ AUTH_URL: nowhere, NATS_IDENTITY_URL: nowhere, LOG_LEVEL: 'silent' },
    ...overrides,
  });
  const urls = { AUTH_URL: behind.url, TOKEN_URL: behind.url, AUDIT_URL: behind.url };
  const env: Record<string, string> = { ...behind.env, ...urls, PORT: '0' };
  const running: Running[] = [];
  const another = async (settings: Record<string, string> = {}) => {
    const one = await run([gateway], { env: { ...env, ...settings } });
    running.push(one);
    return { ...one, api: apiOf(one.url) };
  };
  const { api } = await another();
  const headers = { [credentialHeader]: credentialOf(env.GATEHOUSE_SECRET ?? '') };
  return {
    ...{ behind, api, env, another },
    async accessToken(roles) {
      const { service, name } = questions.openSession;
      const { body, text } = await behind.api.post(
        `/internal/${service}/${name}`,
        {
          subject: { user_id: randomUUID(), tenant_id: randomUUID(), status: 'active', roles, version: 1 },
          ...{ tenant_version: 1, scope: '', client_ip: null, user_agent: null, traceparent: null },
        },
        { headers },
      );
      if (body?.outcome !== 'opened') throw new Error(`sign-in was refused: ${text}`);
      return body.tokens.access_token;
    },
    async close() {
      for (const one of running) await one.stop();
      await behind.close();
    },
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
