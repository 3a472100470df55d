import type { Api, Json } from '../api.ts';
import { Fault } from '../fault.ts';
import { type Check, counted, failed, ok, skipped, warning } from './check.ts';
import { judgeClusters, texts } from './clusters.ts';
import { DEAD_LETTER_REMEDY } from './outbox.ts';
import { judgeSigningKeys, type SigningKey } from './signing-keys.ts';

/** What the database would have told, asked of the API. What the role does not reach is skipped. */
export function examineByApi(api: Api): Promise<Check[]> {
  const ask = async (name: string, path: string, judge: (answer: Json) => Check): Promise<Check> => {
    try {
      return judge(await api.request('GET', path));
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return skipped(name, error.message);
    }
  };
  return Promise.all([
    ask('keys.signing', '/api/admin/keys', (answer) => judgeSigningKeys(itemsOf<SigningKey>(answer))),
    ask('keys.encryption', '/api/nats/encryption', judgeEncryption),
    ask('dead_letters', '/api/admin/dead-letters?limit=200', judgeDeadLetters),
    ask('clusters', '/api/nats/clusters?limit=200', (answer) =>
      judgeClusters(itemsOf<Json>(answer).map(clusterOf)),
    ),
  ]);
}

const itemsOf = <T>({ items }: Json): T[] => (Array.isArray(items) ? (items as T[]) : []);

const clusterOf = ({ name, healthy, health }: Json) => ({
  name: String(name),
  healthy: healthy === true,
  causes: texts((health as Json | undefined)?.causes),
  warnings: texts((health as Json | undefined)?.warnings),
});

interface RingKey {
  readonly id: string;
  readonly state: string;
  readonly records: number;
  readonly lacked_by: readonly string[];
}

/** Which processes lack a key that records need, or that shall seal. */
function judgeEncryption(answer: Json): Check {
  const name = 'keys.encryption';
  const keys = (Array.isArray(answer.keys) ? answer.keys : []) as RingKey[];
  const lacking = keys.filter(({ records, lacked_by }) => records > 0 && lacked_by.length > 0);
  if (lacking.length > 0)
    return failed(name, `not every process holds ${lacking.map(({ id }) => id).join(', ')}`, {
      details: lacking.map(
        ({ id, records, lacked_by }) =>
          `${id}: ${counted(records, 'record')}, lacked by ${lacked_by.join(', ')}`,
      ),
      remedy:
        'put the key back into ENCRYPTION_KEYS there: "An encryption key is missing" in docs/runbook.md',
    });
  const primary = typeof answer.primary === 'string' ? answer.primary : undefined;
  if (primary === undefined)
    return warning(name, 'no key seals', { remedy: 'start the nats-identity service and look at its log' });
  if (answer.waiting)
    return warning(name, `${primary} seals, and another key is wanted`, {
      remedy: 'gatehouse keys encryption status says what it waits for',
    });
  return ok(name, `${primary} seals; every process holds every key that records need`);
}

function judgeDeadLetters(answer: Json): Check {
  const name = 'dead_letters';
  const letters = itemsOf<Json>(answer);
  if (letters.length === 0) return ok(name, 'none');
  const many = typeof answer.next_cursor === 'string' ? 'more than ' : '';
  return warning(name, `${many}${counted(letters.length, 'message')} that consumers gave up on`, {
    details: [...new Set(letters.map((one) => `${one.consumer}: ${one.type}: ${one.reason}`))].slice(0, 5),
    remedy: DEAD_LETTER_REMEDY,
  });
}
