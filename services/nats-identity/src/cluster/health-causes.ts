import { readable, type ServerFacts } from './look-at-servers.ts';

/** What a cluster ought to be like. */
export interface ExpectedCluster {
  readonly operator: {
    readonly name: string;
    readonly publicKey: string;
    readonly jwtIat: number;
    /** Signing keys that sign, or are to sign. */
    readonly keys: readonly string[];
  };
  readonly systemAccount: string | undefined;
  readonly resolver: string;
  readonly credsExpireAt: Date | null;
  /** Servers that were seen before, and what was noted of them. */
  readonly known: readonly { readonly name: string; readonly id: string; readonly slowConsumers: number }[];
}

/** `causes` make a cluster unhealthy; `warnings` will, or are worth knowing. */
export interface Verdict {
  readonly causes: string[];
  readonly warnings: string[];
}

const DAY_MS = 86_400_000;
const SKEW_MS = 10_000;

/** Judges what the servers of a cluster said, in words that say what to do. */
export function judgeCluster(
  servers: readonly ServerFacts[],
  expected: ExpectedCluster,
  now = Date.now(),
): Verdict {
  const verdict: Verdict = { causes: [], warnings: [] };
  judgePresence(servers, expected, verdict);
  for (const server of servers) {
    judgeServer(server, expected, verdict, now);
    judgeTrust(server, expected, verdict);
  }
  const { resolver, credsExpireAt } = expected;
  if (resolver === 'memory')
    verdict.warnings.push(
      'resolver is memory: accounts are taken from the configuration only; a change needs its resolver_preload and a restart',
    );
  if (resolver === 'url')
    verdict.warnings.push('resolver is a URL: the servers fetch accounts there; they are not stored by us');
  if (credsExpireAt !== null)
    judgeEnd('the creds of the cluster', credsExpireAt, verdict, { urgentDays: 2, soonDays: 14, now });
  return verdict;
}

function judgePresence(
  servers: readonly ServerFacts[],
  { known }: ExpectedCluster,
  { causes }: Verdict,
): void {
  const names = new Set(known.map(({ name }) => name));
  for (const { name } of servers) names.add(name);
  for (const name of [...names].sort())
    if (!servers.some((server) => server.name === name))
      causes.push(
        `server ${readable(name)} of ${names.size} does not answer; forget it if it was taken out for good`,
      );
  const seen = new Set<string>();
  for (const { name } of servers) {
    if (seen.has(name))
      causes.push(`several servers are named ${readable(name)}: give each a server_name of its own`);
    seen.add(name);
  }
}

function judgeServer(server: ServerFacts, { known }: ExpectedCluster, verdict: Verdict, now: number): void {
  const { complaint, varz, version } = server;
  const name = readable(server.name);
  if (complaint === undefined || varz === undefined)
    verdict.causes.push(`${name} answers PING but not ${varz === undefined ? 'VARZ' : 'HEALTHZ'}`);
  else if (complaint !== null)
    verdict.causes.push(`${name} says of itself that it is not sound: ${complaint}`);
  if (!isSupported(version))
    verdict.warnings.push(`${name} runs nats-server ${readable(version)}: 2.10 or later is expected`);
  if (varz === undefined) return;
  if (varz.certificateEndsAt !== null)
    judgeEnd(`the certificate of ${name}`, varz.certificateEndsAt, verdict, {
      urgentDays: 7,
      soonDays: 30,
      now,
    });
  const before = known.find(({ id }) => id === server.id)?.slowConsumers;
  if (before !== undefined && varz.slowConsumers > before)
    verdict.warnings.push(
      `${name} cut off ${varz.slowConsumers - before} slow consumers since it was last asked`,
    );
  if (Math.abs(varz.clockSkewMs) > SKEW_MS)
    verdict.warnings.push(
      `the clock of ${name} is ${Math.round(varz.clockSkewMs / 1000)} s from ours: expiry and times of users go by it`,
    );
}

/** A server learns of an operator's keys when it starts, and only then (nats-protocol, fact 6). */
function judgeTrust(
  server: ServerFacts,
  { operator, systemAccount }: ExpectedCluster,
  verdict: Verdict,
): void {
  const { trust } = server;
  if (trust === undefined) return;
  const name = readable(server.name);
  const held = trust.operators.find(({ publicKey }) => publicKey === operator.publicKey);
  if (held === undefined) {
    verdict.causes.push(
      `${name} does not trust operator ${readable(operator.name)}: put its JWT into the configuration and restart it`,
    );
    return;
  }
  const lacking = operator.keys.filter((key) => !trust.issuers.has(key));
  if (lacking.length > 0)
    verdict.causes.push(
      `${name} trusts an older operator JWT, without signing key ${lacking.join(', ')}: restart it with the new one`,
    );
  else if (held.iat < operator.jwtIat)
    verdict.warnings.push(
      `${name} has an older operator JWT: restart it with the new one at the next occasion`,
    );
  if (trust.operators.length > 1)
    verdict.warnings.push(
      `${name} trusts ${trust.operators.length} operators: its resolver follows the first only`,
    );
  if (systemAccount !== undefined && trust.systemAccount !== systemAccount)
    verdict.causes.push(`${name} has another system account than the operator: set system_account to it`);
}

function judgeEnd(
  what: string,
  end: Date,
  { causes, warnings }: Verdict,
  { urgentDays, soonDays, now }: { urgentDays: number; soonDays: number; now: number },
): void {
  const days = (end.getTime() - now) / DAY_MS;
  const verb = what.startsWith('the creds') ? 'end' : 'ends';
  const inDays = days < 1 ? 'in less than a day' : `in ${Math.floor(days)} ${days < 2 ? 'day' : 'days'}`;
  if (days <= 0) causes.push(`${what} ${verb === 'end' ? 'have' : 'has'} expired`);
  else if (days <= urgentDays) causes.push(`${what} ${verb} ${inDays}`);
  else if (days <= soonDays) warnings.push(`${what} ${verb} ${inDays}`);
}

function isSupported(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > 2 || (major === 2 && minor >= 10);
}
