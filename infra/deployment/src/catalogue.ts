import { audit } from '@gatehouse/audit';
import { auth } from '@gatehouse/auth';
import { gateway } from '@gatehouse/gateway';
import { baseSettings, type Service, type Settings } from '@gatehouse/kit';
import { natsIdentity } from '@gatehouse/nats-identity';
import { token } from '@gatehouse/token';

/** Every service. */
export const services: readonly Service[] = [gateway, auth, token, natsIdentity, audit];

/** What the command reads besides settings, as README has it. */
export const commandSettings: ReadonlySet<string> = new Set(['GATEHOUSE_URL', 'GATEHOUSE_TOKEN']);

/** Every setting that there is. */
export const settings: Settings = Object.assign({}, baseSettings, ...services.map((one) => one.settings));

/** The settings that a process reads: `all-in-one` is every service. */
export function settingsOf(process: string): Settings {
  const read = services.filter(({ name }) => process === 'all-in-one' || name === process);
  return Object.assign({}, baseSettings, ...read.map((one) => one.settings));
}

/** What a process cannot start without in production, given that all others are where their URLs say. */
export function requiredOf(process: string): string[] {
  const needed = Object.entries(settingsOf(process))
    .filter(([, { requiredIn }]) => requiredIn !== 'never')
    .map(([name]) => name);
  const peers = services.map(({ name }) => name).filter((name) => name !== process);
  const urls =
    process === 'all-in-one' ? [] : peers.map((name) => `${name.toUpperCase().replace('-', '_')}_URL`);
  return [...needed, ...urls, 'NATS_CREDS'];
}

/** The public paths of every service, and those of the edge itself. */
export function publicPaths(): string[] {
  const own = ['/health', '/health/live', '/health/ready', '/healthz', '/readyz', '/ready'];
  const documents = ['/openapi.json', '/asyncapi.json', '/docs'];
  return [...services.flatMap(({ routes }) => routes.map(({ path }) => path)), ...own, ...documents];
}

/** What every process answers probes at. */
export const probePaths: ReadonlySet<string> = new Set([
  '/health/live',
  '/health/ready',
  '/healthz',
  '/readyz',
  '/ready',
]);

/** Seconds that a process takes at most from SIGTERM to its end, besides its closing words to the bus. */
export function endingSeconds(given: Readonly<Record<string, string | undefined>>): number {
  const seconds = (name: string) => Number(given[name] ?? settings[name]?.shown ?? 0);
  return seconds('DRAIN_SECONDS') + seconds('SHUTDOWN_TIMEOUT_SECONDS');
}
