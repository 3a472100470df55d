import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import {
  answersOf,
  appendRevocation,
  type Context,
  defineService,
  newId,
  questions,
  type Service,
} from '@gatehouse/kit';
import type { TokenDatabase } from '@gatehouse/schema';
import type { Static } from 'typebox';

/**
 * A token service that remembers what it is told, signs real tokens and feeds real revocations, for what the real one
 * cannot be made to do on purpose: be away, be behind, answer late. The real one is beside auth in e2e.
 */
export interface StandInToken {
  /** While true every question fails, as when the service is down. */
  down: boolean;
  /** Called before a session is opened, once: what happens to the user meanwhile. */
  beforeOpening: (() => Promise<void>) | undefined;
  readonly subjects: ReadonlyMap<string, questions.SubjectState>;
  readonly tenants: ReadonlyMap<string, { status: string; version: number }>;
  /** Sessions of a user that have not ended. */
  live(userId: string): string[];
}

interface Session {
  readonly userId: string;
  readonly tenantId: string;
  over: boolean;
}

type Base = Context<Record<never, never>, TokenDatabase>;
type Opening = Static<typeof questions.openSession.ask>;

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'stand-in', alg: 'ES256', use: 'sig' };
const until = () => Math.floor(Date.now() / 1000) + 1000;

class Memory implements StandInToken {
  down = false;
  beforeOpening: (() => Promise<void>) | undefined;
  readonly subjects = new Map<string, questions.SubjectState>();
  readonly tenants = new Map<string, { status: string; version: number }>();
  readonly sessions = new Map<string, Session>();

  live(userId: string): string[] {
    return [...this.sessions].filter(([, one]) => one.userId === userId && !one.over).map(([id]) => id);
  }

  answering(): void {
    if (this.down) throw new Error('the stand-in is down');
  }

  async open(ctx: Base, { subject, tenant_version }: Opening) {
    const meanwhile = this.beforeOpening;
    this.beforeOpening = undefined;
    await meanwhile?.();
    const tenant = this.tenants.get(subject.tenant_id);
    const known = this.subjects.get(subject.user_id);
    if ((tenant?.version ?? 0) > tenant_version || (known?.version ?? 0) > subject.version)
      return { outcome: 'stale' as const };
    if (tenant?.status === 'disabled') return { outcome: 'inactive' as const };
    await this.take(ctx, subject);
    const session_id = newId();
    this.sessions.set(session_id, { userId: subject.user_id, tenantId: subject.tenant_id, over: false });
    const access_token = signed(ctx, subject, session_id);
    const refresh_token = randomBytes(32).toString('base64url');
    return {
      outcome: 'opened' as const,
      tokens: { access_token, refresh_token, expires_in: 900, session_id },
    };
  }

  async take(ctx: Base, subject: questions.SubjectState): Promise<void> {
    const { user_id, roles, version } = subject;
    const known = this.subjects.get(user_id);
    if (known !== undefined && known.version > version) return;
    this.subjects.set(user_id, subject);
    if (subject.status !== 'active') await this.end(ctx, ({ userId }) => userId === user_id);
    if (known !== undefined && known.roles.length !== roles.length)
      await ctx.db
        .transaction()
        .execute((tx) => appendRevocation(tx, { user_id, roles, version, until: until() }));
    ctx.relay.poke();
  }

  async end(ctx: Base, which: (session: Session, id: string) => boolean): Promise<number> {
    const ended = [...this.sessions].filter(([id, session]) => !session.over && which(session, id));
    for (const [, session] of ended) session.over = true;
    const sids = ended.map(([id]) => id);
    if (sids.length > 0)
      await ctx.db.transaction().execute((tx) => appendRevocation(tx, { sids, until: until() }));
    ctx.relay.poke();
    return sids.length;
  }
}

function signed({ config }: Base, subject: questions.SubjectState, sid: string): string {
  const iat = Math.floor(Date.now() / 1000);
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const input = `${part({ alg: 'ES256', typ: 'at+jwt', kid: 'stand-in' })}.${part({
    iss: config.TOKEN_ISSUER,
    aud: config.TOKEN_AUDIENCE,
    sub: subject.user_id,
    tenant_id: subject.tenant_id,
    roles: subject.roles,
    sid,
    jti: newId(),
    iat,
    exp: iat + 900,
    scope: '',
  })}`;
  const key = { key: privateKey, dsaEncoding: 'ieee-p1363' as const };
  return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`;
}

const answer = answersOf<Base>();

/** Makes one, and the handle by which a test leads it. */
export function createStandIn(): { control: StandInToken; service: Service } {
  const memory = new Memory();
  const service = defineService({
    name: 'token',
    settings: {},
    routes: [],
    open: async (_ctx: Base) => ({}),
    answers: [
      answer(questions.openSession, (ctx) => async (asked) => {
        memory.answering();
        return memory.open(ctx, asked);
      }),
      answer(questions.putSubjects, (ctx) => async ({ subjects }) => {
        memory.answering();
        for (const subject of subjects) await memory.take(ctx, subject);
        return { taken: subjects.length };
      }),
      answer(questions.putTenant, (ctx) => async ({ tenant_id, status, version }) => {
        memory.answering();
        memory.tenants.set(tenant_id, { status, version });
        if (status === 'disabled') await memory.end(ctx, ({ tenantId }) => tenantId === tenant_id);
        return { taken: 1 };
      }),
      answer(questions.revokeUserSessions, (ctx) => async ({ user_id, except_session }) => {
        memory.answering();
        const count = await memory.end(ctx, ({ userId }, id) => userId === user_id && id !== except_session);
        return { count };
      }),
      answer(questions.sessionStatus, () => async ({ session_id }) => {
        const session = memory.sessions.get(session_id);
        const roles = memory.subjects.get(session?.userId ?? '')?.roles ?? [];
        return { active: session !== undefined && !session.over, roles };
      }),
      answer(questions.verificationKeys, () => async () => ({ keys: [jwk] })),
    ],
  });
  return { control: memory, service };
}
