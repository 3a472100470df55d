import { Api } from '../api.ts';
import { type Check, guarded } from './check.ts';
import type { Database } from './database.ts';
import type { KnownSettings } from './settings.ts';

/** Longer than every deadline within. */
const PART_TIMEOUT_MS = 20_000;

/** Looks at everything that can be looked at from here. Parts wait for one another only where they must. */
export async function examine(
  url: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<readonly Check[]> {
  const { examineSettings } = await import('./settings.ts');
  const { known, checks: settings } = await examineSettings(env);
  const part = (name: string, work: () => Promise<readonly Check[]>) => guarded(name, PART_TIMEOUT_MS, work);
  const found = await Promise.all([
    part('database', () => database(known)),
    part('database.pooler', async () => (await import('./pooler.ts')).examinePooler(known)),
    part('nats', async () => (await import('./bus.ts')).examineBus(known)),
    part('redis', async () => (await import('./redis.ts')).examineRedis(known)),
    part('health', async () => edge(url, known)),
    part('certificate', () => certificates(url, known)),
    part('disk', async () => (await import('./disk.ts')).examineHome(env)),
  ]);
  return [...settings, ...found.flat()];
}

async function database(known: KnownSettings): Promise<readonly Check[]> {
  const [{ examineDatabase }, ...parts] = await Promise.all([
    import('./database.ts'),
    import('./outbox.ts'),
    import('./audit-trail.ts'),
    import('./signing-keys.ts'),
    import('./encryption-ring.ts'),
    import('./clusters.ts'),
  ]);
  const [outbox, audit, keys, ring, clusters] = parts;
  const looks: readonly [string, (open: Database) => Promise<readonly Check[]>][] = [
    ['outbox', outbox.examineOutboxes],
    ['audit', audit.examineAudit],
    ['keys.signing', (open) => keys.examineSigningKeys(open, known)],
    ['keys.encryption', (open) => ring.examineRing(open, known)],
    ['clusters', clusters.examineClusters],
  ];
  return examineDatabase(known, async (open) => {
    const found: Check[] = [];
    // One after the other: it is one connection.
    for (const [name, look] of looks) found.push(...(await guarded(name, PART_TIMEOUT_MS, () => look(open))));
    return found;
  });
}

async function edge(url: string, known: KnownSettings): Promise<readonly Check[]> {
  const { examineEdge, examineSignedIn } = await import('./edge.ts');
  const health = await examineEdge(url);
  if (health[0]?.status === 'failed') return health;
  return [...health, ...(await examineSignedIn(new Api(url), Boolean(known.env.DATABASE_URL)))];
}

async function certificates(url: string, { env }: KnownSettings): Promise<readonly Check[]> {
  const { examineCertificate, tlsAddresses } = await import('./certificate.ts');
  return Promise.all(tlsAddresses(url, env).map(examineCertificate));
}
