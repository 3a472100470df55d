import { randomBytes } from 'node:crypto';
import { hashSync, verifySync } from '@node-rs/argon2';
import { afterEach, describe, expect, it } from 'vitest';
import { createHasher, type Hasher, type HasherOptions } from './hash.ts';

const quick = { memoryKib: 1024, iterations: 1, parallelism: 1, maxConcurrent: 2, queueWaitMs: 2000 };
const open: Hasher[] = [];
function hasher(options: HasherOptions = {}): Hasher {
  const made = createHasher({ ...quick, ...options });
  open.push(made);
  return made;
}
afterEach(async () => {
  await Promise.all(open.splice(0).map((made) => made.close()));
});
async function phcOf(made: Hasher, password: string): Promise<string> {
  const result = await made.hash(password);
  if (result.outcome !== 'hashed') throw new Error('busy');
  return result.phc;
}

describe('a hash', () => {
  it('is a standard argon2id PHC string with the parameters given, salted anew each time', async () => {
    const made = hasher();
    const phc = await phcOf(made, 'StrongPassword123');
    expect(phc).toMatch(/^\$argon2id\$v=19\$m=1024,t=1,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    expect(verifySync(phc, 'StrongPassword123')).toBe(true);
    expect(await phcOf(made, 'StrongPassword123')).not.toBe(phc);
  });

  it('takes 64 MiB, three passes and one lane unless told otherwise', async () => {
    const made = createHasher();
    open.push(made);
    expect(await phcOf(made, 'x')).toMatch(/^\$argon2id\$v=19\$m=65536,t=3,p=1\$/);
  });

  it('matches its password and no other', async () => {
    const made = hasher();
    const phc = await phcOf(made, 'p\u00e4ssword \u{1f600}');
    expect(await made.verify(phc, 'p\u00e4ssword \u{1f600}')).toEqual({
      outcome: 'verified',
      match: true,
      outdated: false,
    });
    for (const other of ['', 'password', 'p\u00e4ssword \u{1f601}', 'p\u00e4ssword \u{1f600} ']) {
      expect(await made.verify(phc, other)).toMatchObject({ match: false });
    }
  });

  it.each([
    ['less memory', { memoryCost: 512, timeCost: 1, parallelism: 1 }],
    ['more passes', { memoryCost: 1024, timeCost: 2, parallelism: 1 }],
    ['more lanes', { memoryCost: 1024, timeCost: 1, parallelism: 2 }],
    ['a shorter digest', { memoryCost: 1024, timeCost: 1, parallelism: 1, outputLen: 16 }],
    ['another algorithm', { memoryCost: 1024, timeCost: 1, parallelism: 1, algorithm: 1 }],
  ])('with %s still verifies, and is outdated', async (_, options) => {
    const phc = hashSync('old password', options);
    expect(await hasher().verify(phc, 'old password')).toMatchObject({ match: true, outdated: true });
  });

  it.each([
    '',
    'plain text',
    '$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy',
    '$argon2id$v=19$m=1024,t=1,p=1$AAAA$AAAA',
    '$argon2id$v=19$m=1024,t=1,p=1$',
    '$argon2id$v=19$m=99999999999,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
    '\0',
  ])('that cannot be read matches nothing, says so, and throws nothing: %j', async (phc) => {
    expect(await hasher().verify(phc, '')).toEqual({
      outcome: 'verified',
      match: false,
      outdated: true,
      fault: 'unreadable_hash',
    });
  });
});

describe('the pepper', () => {
  const [pepper, former] = [randomBytes(32), randomBytes(32)];

  it('is needed to verify, and its id in the string gives nothing of it away', async () => {
    const phc = await phcOf(hasher({ pepper }), 'secret words');
    expect(phc).toMatch(/^\$argon2id\$v=19\$m=1024,t=1,p=1,keyid=[A-Za-z0-9+/]{8}\$/);
    expect(verifySync(phc, 'secret words')).toBe(false);
    expect(verifySync(phc, 'secret words', { secret: pepper })).toBe(true);
    expect(await hasher({ pepper }).verify(phc, 'secret words')).toMatchObject({
      match: true,
      outdated: false,
    });
  });

  it('may be introduced and changed: older hashes verify and are outdated', async () => {
    const plain = await phcOf(hasher(), 'secret words');
    const old = await phcOf(hasher({ pepper: former }), 'secret words');
    const made = hasher({ pepper, formerPeppers: [former] });
    expect(await made.verify(plain, 'secret words')).toMatchObject({ match: true, outdated: true });
    expect(await made.verify(old, 'secret words')).toMatchObject({ match: true, outdated: true });
    expect(await made.verify(old, 'other words')).toMatchObject({ match: false });
  });

  it('that is lost is named, and nobody gets in', async () => {
    const phc = await phcOf(hasher({ pepper: former }), 'secret words');
    for (const made of [hasher(), hasher({ pepper })]) {
      expect(await made.verify(phc, 'secret words')).toMatchObject({ match: false, fault: 'unknown_pepper' });
    }
  });
});

describe('an unknown account', () => {
  // In processor time, which other work on the machine does not stretch: where nobody waits, it is the time it takes.
  it('costs what a wrong password for a known one does', async () => {
    const made = hasher({ memoryKib: 16_384, iterations: 2, pepper: randomBytes(32), maxConcurrent: 1 });
    const phc = await phcOf(made, 'right');
    const times: Record<'known' | 'unknown', number[]> = { known: [], unknown: [] };
    for (let i = 0; i < 30; i += 1) {
      for (const kind of ['known', 'unknown'] as const) {
        const before = process.cpuUsage();
        const result = kind === 'known' ? await made.verify(phc, 'wrong') : await made.verifyNothing('wrong');
        const { user, system } = process.cpuUsage(before);
        times[kind].push(user + system);
        expect(result).toEqual({ outcome: 'verified', match: false, outdated: false });
      }
    }
    const median = (list: number[]): number => list.toSorted((a, b) => a - b)[list.length >> 1] ?? 0;
    const ratio = median(times.unknown) / median(times.known);
    expect(ratio).toBeGreaterThan(0.7);
    expect(ratio).toBeLessThan(1.4);
  });
});

describe('admission', () => {
  const slow = { memoryKib: 65_536, iterations: 3, maxConcurrent: 2, queueWaitMs: 60 };

  it('runs so many, lets as many wait for a short while, and refuses the rest at once (hard case 9)', async () => {
    let busyCalls = 0;
    const made = hasher({ ...slow, onBusy: () => (busyCalls += 1) });
    await made.warm();
    const settled: string[] = [];
    const flood = Array.from({ length: 10_000 }, async () => {
      const result = await made.hash('flood');
      settled.push(result.outcome);
      return result;
    });
    expect(made.inFlight).toBe(2);
    expect(made.queued).toBe(2);
    await new Promise(setImmediate);
    // In the very turn in which they came: they waited for no hash and for no timer.
    expect(settled).toEqual(Array(9_996).fill('busy'));
    const results = await Promise.all(flood);
    const hashed = results.filter(({ outcome }) => outcome === 'hashed').length;
    expect(hashed).toBeGreaterThanOrEqual(2);
    expect(hashed).toBeLessThanOrEqual(4);
    expect(busyCalls).toBe(10_000 - hashed);
    expect(made.busyCount).toBe(busyCalls);
    expect(made.inFlight).toBe(0);
    expect(made.queued).toBe(0);
  });

  it('gives every slot back: after a flood the next one gets in', async () => {
    const made = hasher({ memoryKib: 16_384, queueWaitMs: 1 });
    await Promise.all(Array.from({ length: 50 }, () => made.hash('flood')));
    expect(await made.hash('after')).toMatchObject({ outcome: 'hashed' });
    await made.verify('unreadable', 'x');
    expect(made.inFlight).toBe(0);
  });

  it('reports the time hashed and the time waited', async () => {
    const times: { hashSeconds: number; waitSeconds: number }[] = [];
    const made = hasher({ maxConcurrent: 1, memoryKib: 16_384, onDone: (time) => times.push(time) });
    await Promise.all([made.hash('a'), made.hash('b')]);
    expect(times).toHaveLength(2);
    expect(times[1]?.waitSeconds).toBeGreaterThan(times[0]?.waitSeconds ?? Number.POSITIVE_INFINITY);
    expect(times[1]?.hashSeconds).toBeGreaterThan(0);
  });

  it('closing waits for what runs, refuses what waits and what comes', async () => {
    const made = createHasher({ ...slow, queueWaitMs: 10_000 });
    await made.warm();
    const calls = Array.from({ length: 4 }, () => made.hash('x'));
    await made.close();
    const outcomes = (await Promise.all(calls)).map(({ outcome }) => outcome);
    expect(outcomes).toEqual(['hashed', 'hashed', 'busy', 'busy']);
    expect(await made.hash('x')).toEqual({ outcome: 'busy', retryAfterSeconds: 1 });
  });
});
