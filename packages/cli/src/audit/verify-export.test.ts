import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  type Content,
  contentHash,
  GrowingTree,
  genesis,
  type Head,
  headEntry,
  type NoteSigner,
  nextHead,
  openCheckpoint,
  parseVerifierKey,
  personalDigest,
  signCheckpoint,
  verifierKeyOf,
} from '@gatehouse/audit-chain';
import { describe, expect, it } from 'vitest';
import { readExport } from './export-lines.ts';
import { type Trust, type Verdict, verifyExport, type Wrong } from './verify-export.ts';

const signer: NoteSigner = { name: 'test/audit', privateKey: generateKeyPairSync('ed25519').privateKey };
const verifier = parseVerifierKey(verifierKeyOf(signer));
const whole = (least: number, below: number) => least + Math.floor(Math.random() * (below - least));

/** A row as the database has it, with what the export takes from it. */
type Row = Record<string, unknown> & { chain: string; sequence: number; hash: string; recorded_at: string };

/** A database: rows of several chains, the log of their heads, and the checkpoints that were signed on the way. */
interface Database {
  rows: Row[];
  heads: Head[];
  notes: string[];
}

const stepOf = (head: Head, row: Row): Head =>
  nextHead(
    head,
    contentHash({ ...row, personal: row.personal_digest } as never),
    Date.parse(row.recorded_at),
  );

function databaseOf(chains: readonly string[], records: number): Database {
  const ends = new Map<string, Head>(chains.map((chain) => [chain, genesis(chain)]));
  const database: Database = { rows: [], heads: [], notes: [] };
  for (let n = 0; n < records; n += 1) {
    const chain = chains[whole(0, chains.length)] as string;
    const head = stepOf(ends.get(chain) as Head, rowOf(chain, 0, n));
    const row = rowOf(chain, head.sequence, n);
    const next = stepOf(ends.get(chain) as Head, row);
    database.rows.push({ ...row, hash: next.hash.toString('hex') });
    ends.set(chain, next);
    if (n % 5 === 4 || n === records - 1) sign(database, [...ends.values()], 1000 + n);
  }
  database.rows.sort((a, b) => (a.chain < b.chain ? -1 : a.chain > b.chain ? 1 : a.sequence - b.sequence));
  return database;
}

function rowOf(chain: string, sequence: number, n: number): Row {
  const personal = n % 3 === 0 ? null : { client_ip: `192.0.2.${n % 250}`, email: 'a@example.org' };
  const salt = randomBytes(16);
  const content: Omit<Content, 'personal'> = {
    ...{ id: randomUUID(), type: 'auth.login.success', severity: 'info', outcome: 'success' },
    occurred_at: new Date(1_700_000_000_000 + n).toISOString(),
    ...{ source: '/gatehouse/auth', tenant_id: chain, user_id: null, actor: null, subject: 'user:x' },
    ...{ trace_id: null, data: { n, nested: { ü: [1, null, '\u2028'] } } },
  };
  return {
    ...content,
    ...{ chain, sequence, personal, hash: '' },
    recorded_at: new Date(1_700_000_001_000 + n).toISOString(),
    personal_salt: personal === null ? null : salt.toString('hex'),
    personal_digest: personal === null ? null : personalDigest(salt, personal).toString('hex'),
  };
}

function sign(database: Database, ends: readonly Head[], time: number): void {
  const noted = new Map(database.heads.map(({ chain, sequence }) => [chain, sequence]));
  database.heads.push(...ends.filter(({ chain, sequence }) => sequence > (noted.get(chain) ?? 0)));
  const tree = new GrowingTree();
  for (const head of database.heads) tree.append(headEntry(head));
  database.notes.push(
    signCheckpoint({ origin: signer.name, size: tree.size, root: tree.root(), time }, signer),
  );
}

/** The export of a database, as the service would write it: it shows what is there. */
function exportOf({ rows, heads, notes }: Database, beganAt = 5_000): string {
  const header = {
    ...{ gatehouse_export: 1, origin: signer.name, filters: {}, tenant_id: null, proof: 'full' },
    ...{ log_size: heads.length, began_at: new Date(beganAt * 1000).toISOString() },
  };
  const begun = new Set<string>();
  const lines = rows.map((row) => {
    const first = !begun.has(row.chain);
    begun.add(row.chain);
    const { hash, sequence } = genesis(row.chain);
    return JSON.stringify({ ...row, ...(first && { previous: { sequence, hash: hash.toString('hex') } }) });
  });
  const log = heads.map((head) => headEntry(head).toString().trimEnd());
  const all = [header, { checkpoint: notes.at(-1) ?? null }, { log }].map((one) => JSON.stringify(one));
  return [...all, ...lines, '{"end":{}}', ''].join('\n');
}

const verify = (text: string, trust: Partial<Trust> = {}): Promise<Verdict> =>
  verifyExport(readExport(Readable.from([text])), { verifier, kept: [], keptBefore: true, ...trust });
const wrongOf = async (database: Database, trust: Partial<Trust> = {}): Promise<Wrong | undefined> => {
  const verdict = await verify(exportOf(database), trust);
  return 'wrong' in verdict ? verdict.wrong : undefined;
};
const copyOf = (database: Database): Database => ({
  rows: structuredClone(database.rows),
  heads: [...database.heads],
  notes: [...database.notes],
});
const keptOf = ({ notes }: Database) => notes.map((note) => openCheckpoint(note, [verifier]));

/** What somebody does who owns the database and knows how hashes are made: everything after is hashed anew. */
function rehash(database: Database, chain: string): void {
  let head = genesis(chain);
  database.rows = database.rows.map((row) => {
    if (row.chain !== chain) return row;
    head = stepOf(head, row);
    return { ...row, sequence: head.sequence, hash: head.hash.toString('hex') };
  });
}

describe('verifying an export', () => {
  it('finds nothing wrong with what nobody touched, whatever checkpoints were kept', async () => {
    for (let round = 0; round < 30; round += 1) {
      const database = databaseOf(['a', 'b', 'platform'].slice(0, whole(1, 4)), whole(1, 40));
      expect(await wrongOf(database)).toBeUndefined();
      expect(await wrongOf(database, { kept: keptOf(database) })).toBeUndefined();
    }
  });

  it('names the first bad record of any single change', async () => {
    for (let round = 0; round < 60; round += 1) {
      const database = databaseOf(['a', 'b', 'platform'], whole(12, 40));
      const at = whole(0, database.rows.length);
      const row = database.rows[at] as Row;
      const { chain, sequence } = row;
      const last = database.rows.findLast((one) => one.chain === chain)?.sequence === sequence;
      const change = (fields: object) => {
        const changed = copyOf(database);
        changed.rows[at] = { ...row, ...fields };
        return changed;
      };
      for (const fields of [
        ...[
          { type: 'auth.login.failure' },
          { severity: 'notice' },
          { outcome: null },
          { actor: 'x' },
          { user_id: 'x' },
        ],
        ...[{ subject: null }, { trace_id: 'x' }, { source: '/x' }, { tenant_id: null }, { data: { n: -1 } }],
        ...[{ id: randomUUID() }, { occurred_at: '2020-01-01T00:00:00.000Z' }],
        ...[
          { recorded_at: '2020-01-01T00:00:00.000Z' },
          { personal_digest: randomBytes(32).toString('hex') },
        ],
      ])
        expect(await wrongOf(change(fields))).toMatchObject({ cause: 'changed', chain, sequence });
      if (row.personal !== null) {
        const forged = { personal: { client_ip: '203.0.113.1' } };
        expect(await wrongOf(change(forged))).toMatchObject({
          cause: 'personal',
          chain,
          sequence,
          id: row.id,
        });
        expect(await wrongOf(change({ personal: null, personal_salt: null }))).toBeUndefined();
      } else expect(await wrongOf(change({ personal: {} }))).toMatchObject({ cause: 'personal', sequence });

      const deleted = copyOf(database);
      deleted.rows.splice(at, 1);
      const only = !deleted.rows.some((one) => one.chain === chain);
      expect(await wrongOf(deleted)).toMatchObject({
        ...{ chain, sequence: only ? 1 : sequence },
        cause: last ? 'cut_tail' : 'missing',
      });

      const doubled = copyOf(database);
      doubled.rows.splice(at, 0, row);
      expect(await wrongOf(doubled)).toMatchObject({ cause: 'repeated', chain, sequence: sequence + 1 });
    }
  });

  it('names the first of two records that changed places', async () => {
    for (let round = 0; round < 40; round += 1) {
      const database = databaseOf(['a'], whole(3, 30));
      const [low, high] = [whole(0, database.rows.length - 1), database.rows.length - 1];
      const [a, b] = [database.rows[low] as Row, database.rows[high] as Row];
      const swapped = copyOf(database);
      swapped.rows[low] = { ...b, sequence: a.sequence, hash: a.hash };
      swapped.rows[high] = { ...a, sequence: b.sequence, hash: b.hash };
      expect(await wrongOf(swapped)).toMatchObject({ cause: 'changed', chain: 'a', sequence: a.sequence });
    }
  });

  it('of what was hashed anew, says up to which head it is not what was signed', async () => {
    for (let round = 0; round < 40; round += 1) {
      const database = databaseOf(['a', 'platform'], whole(12, 40));
      const row = database.rows[whole(0, database.rows.length)] as Row;
      const forged = copyOf(database);
      forged.rows = forged.rows.map((one) =>
        one.chain === row.chain && one.sequence === row.sequence ? { ...one, outcome: 'failure' } : one,
      );
      rehash(forged, row.chain);
      const head = database.heads.find((one) => one.chain === row.chain && one.sequence >= row.sequence);
      expect(await wrongOf(forged)).toMatchObject({
        ...{ cause: 'not_in_checkpoint', chain: row.chain, sequence: head?.sequence },
      });
      // The log of heads changed with it: its root is not the one that was signed.
      forged.heads = forged.heads.map((one) => ({
        ...one,
        hash: Buffer.from(
          forged.rows.find(({ chain, sequence }) => chain === one.chain && sequence === one.sequence)?.hash ??
            '',
          'hex',
        ),
      }));
      expect(await wrongOf(forged)).toMatchObject({ cause: 'forked' });
      // And signed anew, by whoever has the key: only what was kept outside knows.
      forged.notes = [];
      sign(forged, [], 2000);
      expect(await wrongOf(forged)).toBeUndefined();
      expect(await wrongOf(forged, { kept: keptOf(database) })).toMatchObject({
        ...{ cause: 'forked', chain: expect.any(String), sequence: expect.any(Number) },
      });
    }
  });

  it('an older copy is sound in itself, and found by any checkpoint that was kept later', async () => {
    const database = databaseOf(['a', 'platform'], 40);
    const older = copyOf(database);
    const size = openCheckpoint(older.notes[3] as string, [verifier]).size;
    older.notes.length = 4;
    older.heads.length = size;
    const until = new Map(older.heads.map(({ chain, sequence }) => [chain, sequence]));
    older.rows = older.rows.filter(({ chain, sequence }) => sequence <= (until.get(chain) ?? 0));
    expect(await wrongOf(older)).toBeUndefined();
    expect(await wrongOf(older, { kept: keptOf(database) })).toMatchObject({ cause: 'rolled_back' });
    // Of an export in a file, checkpoints that are younger than it say nothing; those that are older do.
    const late = { kept: keptOf(database), keptBefore: false };
    expect('wrong' in (await verify(exportOf(older, 5_000), late))).toBe(true);
    expect(await verify(exportOf(older, 1_000), late)).toMatchObject({ sound: { chains: 2 } });
  });

  it('refuses what is cut short, hides entries of the log, or is signed by another key', async () => {
    const database = databaseOf(['a', 'platform'], 20);
    const text = exportOf(database);
    expect(await verify(text.replace('{"end":{}}\n', ''))).toMatchObject({ wrong: { cause: 'unfinished' } });
    const [entry] = database.heads.map((head) => headEntry(head).toString().trimEnd());
    const hidden = text.replace(JSON.stringify(entry), JSON.stringify(`1 ${'0'.repeat(64)}`));
    expect(await verify(hidden)).toMatchObject({ wrong: { cause: 'log' } });
    const other = { name: signer.name, privateKey: generateKeyPairSync('ed25519').privateKey };
    const stranger = parseVerifierKey(verifierKeyOf(other));
    expect(await verify(text, { verifier: stranger })).toMatchObject({ wrong: { cause: 'checkpoint' } });
    await expect(verify('{"a":1}\n')).rejects.toThrow('line 1 is not of an export');
    await expect(verify('')).rejects.toThrow('empty');
  });
});
