import { ConfigError } from './config.ts';
import type { Log } from './log.ts';
import type { Peers } from './peers.ts';
import { announceKeys, sealingServices } from './questions.ts';
import type { Secrets } from './secrets.ts';
import type { Service } from './service.ts';

/** How often a process says which keys it holds, milliseconds. Unheard of for 30 s it no longer counts. */
const EVERY_MS = 3_000;
/** Before the start nobody is waited for longer than this. */
const FIRST_DEADLINE_MS = 1_000;

/** Tells nats-identity which encryption keys this process holds, and follows it in which one seals. */
export interface KeyAnnouncer {
  /**
   * Announces once, so that nothing is sealed under a key that others cannot open yet; when nats-identity does not
   * answer, ENCRYPTION_CURRENT_KEY_ID seals until it does. Then again and again.
   * @throws ConfigError when a key is not the one that the platform knows by its name.
   */
  begin(): Promise<void>;
  stop(): Promise<void>;
}

interface Announcing {
  readonly secrets: Secrets;
  readonly peers: Peers;
  readonly log: Log;
}

/**
 * The announcer of a process that seals records and has nats-identity elsewhere; undefined for the others. Where
 * nats-identity is in the process it writes down the keys itself.
 */
export function createKeyAnnouncer(
  services: readonly Service[],
  { secrets, peers, log }: Announcing,
): KeyAnnouncer | undefined {
  const sealing = services.filter(({ name }) => (sealingServices as readonly string[]).includes(name));
  const here = services.some(({ name }) => name === 'nats-identity');
  if (here || sealing.length === 0 || !peers.peer.services.includes('nats-identity')) return undefined;
  const { keyring, processId } = secrets;
  const keys = keyring.keyIds.map((id) => ({ id, check: keyring.checkValue(id).toString('base64url') }));
  const ask = (leaving: boolean, deadlineMs: number) =>
    peers.peer.ask(
      announceKeys,
      {
        instance_id: processId,
        service: sealing.map(({ name }) => name).join('+'),
        wanted: keyring.wantedKeyId,
        keys,
        leaving,
      },
      { deadlineMs },
    );
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  let running: Promise<void> = Promise.resolve();
  let told = '';

  const follow = ({ primary, refused }: Awaited<ReturnType<typeof ask>>): void => {
    const usable = primary !== null && keyring.holds(primary) && !refused.includes(primary);
    if (usable) keyring.usePrimary(primary);
    const fault = refused.length > 0 || (primary !== null && !usable) ? `${primary} ${refused}` : '';
    if (fault !== '' && fault !== told)
      log.error({ primary, refused }, 'encryption keys of this process are not those of the platform');
    told = fault;
  };
  const again = () => {
    running = ask(false, EVERY_MS)
      .then(follow)
      .catch((err: unknown) => log.debug({ err }, 'encryption keys could not be announced'))
      .finally(() => {
        if (!stopped) timer = setTimeout(again, EVERY_MS).unref();
      });
  };

  return {
    async begin() {
      const answer = await ask(false, FIRST_DEADLINE_MS).catch(() => undefined);
      if (answer !== undefined && answer.refused.length > 0)
        throw new ConfigError(changedKeys(answer.refused));
      if (answer !== undefined) follow(answer);
      if (!stopped) timer = setTimeout(again, EVERY_MS).unref();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
      await ask(true, FIRST_DEADLINE_MS).catch(() => {});
    },
  };
}

/** What is said of keys whose value is not the one that their name stood for, a line each. */
export function changedKeys(ids: readonly string[]): string[] {
  return ids.map(
    (id) =>
      `ENCRYPTION_KEYS: the value of key ${id} is not the one that ${id} had before; put the old value back, and give a new key a new id`,
  );
}
