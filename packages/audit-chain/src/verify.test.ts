import { createHash, generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type Content, contentHash, genesis, type Head, nextHead, personalDigest } from './chain.ts';
import { headEntry, openCheckpoint, parseHeadEntry, signCheckpoint } from './checkpoint.ts';
import { GrowingTree, leafHash } from './merkle.ts';
import { notesIn, openNote, parseVerifierKey, signNote, verifierKeyOf } from './note.ts';
import { type ChainFault, ChainFollower, followChain, headsFault, type StoredRecord } from './verify.ts';

const chain = randomUUID();

function contentOf(index: number): Content {
  return {
    id: randomUUID(),
    type: 'auth.login.success',
    severity: 'info',
    outcome: 'success',
    occurred_at: new Date(1_700_000_000_000 + index).toISOString(),
    source: '/gatehouse/auth',
    tenant_id: chain,
    user_id: randomUUID(),
    actor: randomUUID(),
    subject: 'user:x',
    trace_id: null,
    data: { user_id: randomUUID(), index, nested: { b: [1, null, 'ü\u2028'], a: true } },
    personal: personalDigest(randomBytes(16), { client_ip: '192.0.2.1' }).toString('hex'),
  };
}

/** A chain of records as the database would hold it. */
function recordsOf(count: number, start: Head = genesis(chain)): StoredRecord[] {
  let head = start;
  return Array.from({ length: count }, (_, index) => {
    const content = contentOf(index);
    const recorded_at = new Date(1_700_000_001_000 + index);
    head = nextHead(head, contentHash(content), recorded_at.getTime());
    return { sequence: head.sequence, recorded_at, content, hash: head.hash };
  });
}

const headAt = (records: readonly StoredRecord[], sequence: number): Head => {
  const record = records[sequence - 1];
  if (record === undefined) throw new Error('no such record');
  return { chain, sequence, hash: record.hash };
};

function verify(records: Iterable<StoredRecord>, vouched: readonly Head[] = []): ChainFault | undefined {
  const follower = followChain(chain, vouched);
  for (const record of records) if (!follower.next(record)) break;
  return follower.end();
}

/** What an attacker with the database's password does who knows how hashes are made. */
function rehashed(records: readonly StoredRecord[]): StoredRecord[] {
  let head = genesis(chain);
  return records.map(({ content, recorded_at }) => {
    head = nextHead(head, contentHash(content), recorded_at.getTime());
    return { sequence: head.sequence, recorded_at, content, hash: head.hash };
  });
}

const whole = (least: number, below: number) => least + Math.floor(Math.random() * (below - least));

describe('a chain', () => {
  it('as it was written has no fault, from the beginning and from any head', () => {
    const records = recordsOf(50);
    expect(verify(records)).toBeUndefined();
    expect(verify(records, [headAt(records, 10), headAt(records, 50)])).toBeUndefined();
    const late = new ChainFollower(headAt(records, 20));
    expect(records.slice(20).every((record) => late.next(record))).toBe(true);
    expect(late.head).toEqual(headAt(records, 50));
  });

  it('however it is changed, names the first bad record', () => {
    for (let round = 0; round < 300; round += 1) {
      const records = recordsOf(whole(3, 40));
      const last = records.length;
      const at = whole(1, last + 1);
      const record = records[at - 1] as StoredRecord;
      const content = { ...record.content };
      const edits: Record<string, () => void> = {
        type: () => Object.assign(content, { type: 'auth.login.failure' }),
        severity: () => Object.assign(content, { severity: 'notice' }),
        outcome: () => Object.assign(content, { outcome: null }),
        user: () => Object.assign(content, { user_id: null }),
        actor: () => Object.assign(content, { actor: randomUUID() }),
        subject: () => Object.assign(content, { subject: null }),
        time: () => Object.assign(content, { occurred_at: '2020-01-01T00:00:00.000Z' }),
        data: () => Object.assign(content, { data: { ...(content.data as object), index: -1 } }),
        tenant: () => Object.assign(content, { tenant_id: null }),
        personal: () => Object.assign(content, { personal: null }),
      };
      const names = Object.keys(edits);
      edits[names[whole(0, names.length)] as string]?.();
      const edited = records.with(at - 1, { ...record, content });
      expect(verify(edited)).toEqual({ chain, sequence: at, cause: 'changed' });

      const backdated = records.with(at - 1, { ...record, recorded_at: new Date(1_600_000_000_000) });
      expect(verify(backdated)).toEqual({ chain, sequence: at, cause: 'changed' });

      const deleted = records.toSpliced(at - 1, 1);
      expect(verify(deleted, [headAt(records, last)])).toEqual({
        chain,
        sequence: at,
        cause: at === last ? 'cut_tail' : 'missing',
      });

      const other = at === last ? 1 : whole(at + 1, last + 1);
      const [low, high] = [Math.min(at, other), Math.max(at, other)];
      if (low !== high) {
        const [a, b] = [records[low - 1] as StoredRecord, records[high - 1] as StoredRecord];
        // Swapped with their places: the content is in the wrong one.
        const swapped = records
          .with(low - 1, { ...a, content: b.content })
          .with(high - 1, { ...b, content: a.content });
        expect(verify(swapped)).toEqual({ chain, sequence: low, cause: 'changed' });
      }
      const repeated = records.toSpliced(at, 0, record);
      expect(verify(repeated)).toEqual({ chain, sequence: at + 1, cause: 'repeated' });
    }
  });

  it('rewritten by somebody who hashes it anew is found by a head that was kept outside', () => {
    for (let round = 0; round < 100; round += 1) {
      const records = recordsOf(whole(5, 40));
      const kept = whole(2, records.length + 1);
      const at = whole(1, kept + 1);
      const record = records[at - 1] as StoredRecord;
      const forged = rehashed(
        records.with(at - 1, { ...record, content: { ...record.content, type: 'auth.login.failure' } }),
      );
      expect(verify(forged)).toBeUndefined();
      expect(verify(forged, [headAt(records, kept)])).toEqual({
        chain,
        sequence: kept,
        cause: 'not_in_checkpoint',
      });
    }
  });

  it('cut at its end, or rolled back to a backup, is found by a head that was kept outside', () => {
    const records = recordsOf(30);
    expect(verify(records.slice(0, 20))).toBeUndefined();
    expect(verify(records.slice(0, 20), [headAt(records, 25)])).toEqual({
      chain,
      sequence: 21,
      cause: 'cut_tail',
    });
    const wentOn = [...records.slice(0, 20), ...recordsOf(10, headAt(records, 20))];
    expect(verify(wentOn)).toBeUndefined();
    expect(verify(wentOn, [headAt(records, 25)])).toMatchObject({ sequence: 25, cause: 'not_in_checkpoint' });
  });

  it('of one tenant is none of another', () => {
    const [record] = recordsOf(1);
    const other = followChain(randomUUID());
    expect(other.next(record as StoredRecord)).toBe(false);
    expect(other.fault?.cause).toBe('changed');
  });

  it('stays good when what is personal is erased, and tells nothing about it', () => {
    const salt = randomBytes(16);
    const [one, same] = [personalDigest(salt, { a: 1, b: 2 }), personalDigest(salt, { b: 2, a: 1 })];
    expect(one).toEqual(same);
    expect(personalDigest(randomBytes(16), { a: 1, b: 2 })).not.toEqual(one);
  });
});

describe('the log of heads', () => {
  const sha256 = (...parts: Buffer[]) =>
    parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest();
  // RFC 6962 §2.1, to the letter.
  const treeHash = (entries: readonly Buffer[]): Buffer => {
    const [first] = entries;
    if (first === undefined) return sha256();
    if (entries.length === 1) return leafHash(first);
    let split = 1;
    while (split * 2 < entries.length) split *= 2;
    return sha256(Buffer.of(1), treeHash(entries.slice(0, split)), treeHash(entries.slice(split)));
  };

  it('has the root of RFC 6962 at every size, and goes on from what it kept', () => {
    const entries: Buffer[] = [];
    let tree = new GrowingTree();
    for (let size = 0; size < 130; size += 1) {
      expect(tree.root()).toEqual(treeHash(entries));
      tree = new GrowingTree(tree.state);
      entries.push(randomBytes(whole(0, 40)));
      tree.append(entries.at(-1) as Buffer);
    }
    expect(() => new GrowingTree({ size: 3, roots: [] })).toThrow();
  });

  it('is what a signed checkpoint says, or is found out', () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    const signer = { name: 'gatehouse.example/audit', privateKey };
    const verifier = parseVerifierKey(verifierKeyOf(signer));
    const heads = Array.from(
      { length: 9 },
      (_, index): Head => ({ chain, sequence: index + 1, hash: randomBytes(32) }),
    );
    const tree = new GrowingTree();
    for (const head of heads) tree.append(headEntry(head));
    const note = signCheckpoint(
      { origin: 'gatehouse.example/audit', size: 9, root: tree.root(), time: 1_700_000_000 },
      signer,
    );
    const checkpoint = openCheckpoint(note, [verifier]);
    expect(checkpoint).toMatchObject({ origin: 'gatehouse.example/audit', size: 9, time: 1_700_000_000 });
    expect(headsFault(heads, checkpoint)).toBeUndefined();
    expect(
      headsFault([...heads, { chain, sequence: 10, hash: randomBytes(32) }], checkpoint),
    ).toBeUndefined();
    expect(headsFault(heads.slice(0, 8), checkpoint)).toBe('too_short');
    expect(headsFault(heads.toReversed(), checkpoint)).toBe('changed');
    expect(heads.map((head) => parseHeadEntry(headEntry(head).toString()))).toEqual(heads);
  });
});

describe('a signed note', () => {
  const keyOf = (name: string) => ({ name, privateKey: generateKeyPairSync('ed25519').privateKey });

  it('opens with its key, beside signatures of others, and not when changed or signed by somebody else', () => {
    const [ours, other] = [keyOf('a.example'), keyOf('b.example')];
    const [known, stranger] = [parseVerifierKey(verifierKeyOf(ours)), parseVerifierKey(verifierKeyOf(other))];
    const note = signNote('one\ntwo\n', ours);
    expect(openNote(note, [known])).toBe('one\ntwo\n');
    const cosigned = note + signNote('one\ntwo\n', other).split('\n\n')[1];
    expect(openNote(cosigned, [known])).toBe('one\ntwo\n');
    expect(openNote(cosigned, [stranger])).toBe('one\ntwo\n');
    expect(() => openNote(note, [stranger])).toThrow('no signature of a known key');
    expect(() => openNote(note.replace('two', 'six'), [known])).toThrow('is not good');
    for (const broken of ['', 'one\n', note.slice(0, -1), note.replace('—', '-'), `${note}x\n`])
      expect(() => openNote(broken, [known])).toThrow();
  });

  it('is found among others in one file, also below one that was torn off', () => {
    const ours = keyOf('a.example');
    const [one, two, three] = ['one\n', 'two\nlines\n', 'three\n'].map((text) => signNote(text, ours));
    expect(notesIn(`${one}\n${two}`)).toEqual([one, two]);
    for (let length = 0; length < (one as string).length; length += 1) {
      const notes = notesIn(`${one?.slice(0, length)}\n\n${two}\n${three}`);
      expect(notes.slice(-2)).toEqual([two, three]);
    }
    expect(notesIn('')).toEqual([]);
  });

  it('has the form of C2SP: name, key id of four bytes, Ed25519', () => {
    const signer = keyOf('a.example/log');
    const [name, id, key] = verifierKeyOf(signer)
      .split('+', 2)
      .concat(verifierKeyOf(signer).split('+').slice(2).join('+'));
    expect(name).toBe('a.example/log');
    const bytes = Buffer.from(key ?? '', 'base64');
    expect([bytes.length, bytes[0]]).toEqual([33, 1]);
    expect(createHash('sha256').update('a.example/log\n').update(bytes).digest('hex').slice(0, 8)).toBe(id);
    expect(() => signNote('no end', signer)).toThrow();
    expect(() => parseVerifierKey('a+00000000+AAAA')).toThrow();
  });
});
