import {
  type ChainFault,
  ChainFollower,
  type Checkpoint,
  genesis,
  type Head,
  type LogPart,
  LogReader,
  NoteError,
  type NoteVerifier,
  openCheckpoint,
  personalDigest,
} from '@gatehouse/audit-chain';
import { Fault } from '../fault.ts';
import type { ExportedGap, ExportedRecord, ExportHeader, ExportItem, Previous } from './export-lines.ts';

/** What is wrong first, and where. */
export interface Wrong {
  readonly cause:
    | ChainFault['cause']
    | 'personal'
    | 'checkpoint'
    | 'rolled_back'
    | 'forked'
    | 'log'
    | 'unfinished';
  readonly chain?: string;
  readonly sequence?: number;
  /** Of the record that is there, when one is. */
  readonly id?: string;
  readonly detail: string;
}

/** What a sound trail was found to be. */
export interface Sound {
  readonly records: number;
  /** Places of records that were left out because they were not asked for. */
  readonly omitted: number;
  readonly chains: number;
  /** Records whose personal fields were erased. */
  readonly erased: number;
  /** Records after the last head of their chain that a checkpoint vouches for. */
  readonly unsigned: number;
  /** Chains of which retention has dropped the beginning. */
  readonly begun_late: number;
  /** When the export began, as it says itself. */
  readonly began_at: string;
  readonly checkpoint: { readonly origin: string; readonly size: number; readonly time: string } | null;
  /** The newest checkpoint kept outside that was compared. */
  readonly compared: { readonly size: number; readonly time: string } | null;
}

/** The outcome of verifying. */
export type Verdict = { readonly sound: Sound } | { readonly wrong: Wrong };

/** What is trusted: the key, and what was kept outside. */
export interface Trust {
  readonly verifier: NoteVerifier;
  /** Checkpoints kept outside, signed by the key. */
  readonly kept: readonly Checkpoint[];
  /**
   * Whether all of them are older than the export, because they were read before it was asked for. Otherwise those that
   * were signed after the export says that it began, and count more than it does, are about later times.
   */
  readonly keptBefore: boolean;
}

const timeOf = ({ time }: Checkpoint) => new Date(time * 1000).toISOString();

class Refuted extends Error {
  readonly wrong: Wrong;
  constructor(wrong: Wrong) {
    super(wrong.detail);
    this.wrong = wrong;
  }
}

/** Verifies an export as it comes; holds the heads that checkpoints vouch for, and no record. */
export async function verifyExport(items: AsyncIterable<ExportItem>, trust: Trust): Promise<Verdict> {
  const verification = new Verification(trust);
  try {
    for await (const item of items) verification.take(item);
    return { sound: verification.finish() };
  } catch (error) {
    if (error instanceof Refuted) return { wrong: error.wrong };
    throw error;
  }
}

class Verification {
  readonly #trust: Trust;
  #header: ExportHeader | undefined;
  #checkpoint: Checkpoint | undefined;
  #log: LogOfHeads | undefined;
  /** Heads that the checkpoint vouches for, of chains that have not come yet. */
  #vouched = new Map<string, Head[]>();
  #chain: Chain | undefined;
  #ended = false;
  readonly #done = { records: 0, omitted: 0, chains: 0, erased: 0, unsigned: 0, begun_late: 0 };

  constructor(trust: Trust) {
    this.#trust = trust;
  }

  take(item: ExportItem): void {
    if ('header' in item) this.#open(item.header);
    else if (this.#header === undefined) throw new Fault('the file does not begin as an export does');
    else if ('checkpoint' in item) this.#sign(item.checkpoint);
    else if ('log' in item) for (const part of item.log) this.#log?.take(part);
    else if ('record' in item) this.#record(item.record);
    else if ('gap' in item) this.#gap(item.gap);
    else this.#ended = true;
  }

  finish(): Sound {
    if (this.#header === undefined) throw new Fault('the export is empty');
    if (!this.#ended)
      throw new Refuted({ cause: 'unfinished', detail: 'the export was broken off before its end' });
    this.#closeLog();
    this.#closeChain();
    this.#missingChains();
    const point = this.#checkpoint;
    const compared = this.#log?.compared;
    return {
      ...this.#done,
      began_at: this.#header.began_at,
      checkpoint:
        point === undefined ? null : { origin: point.origin, size: point.size, time: timeOf(point) },
      compared: compared === undefined ? null : { size: compared.size, time: timeOf(compared) },
    };
  }

  #open(header: ExportHeader): void {
    if (this.#header !== undefined) throw new Fault('the file holds more than one export');
    if (header.proof !== 'full')
      throw new Fault('the export was made without its proof: leave --no-proof out');
    this.#header = header;
  }

  #sign(note: string | null): void {
    if (note !== null) {
      try {
        this.#checkpoint = openCheckpoint(note, [this.#trust.verifier]);
      } catch (error) {
        if (!(error instanceof NoteError)) throw error;
        throw new Refuted({
          cause: 'checkpoint',
          detail: `its checkpoint does not verify: ${error.message}`,
        });
      }
    }
    this.#log = new LogOfHeads(
      this.#header as ExportHeader,
      this.#checkpoint,
      keptOf(this.#header as ExportHeader, this.#trust),
    );
  }

  /** Before the first record: the log is whole, so that its heads can be believed. */
  #closeLog(): void {
    if (this.#log === undefined || this.#log.closed) return;
    this.#vouched = this.#log.close();
  }

  #record(record: ExportedRecord): void {
    const chain = this.#chainOf(record.chain, record.sequence, record.previous);
    const { id } = record;
    const { personal, personal_digest: digest } = record;
    const content = { ...record, personal: digest };
    const stored = {
      sequence: record.sequence,
      recorded_at: new Date(record.recorded_at),
      content,
      hash: Buffer.from(record.hash, 'hex'),
    };
    if (!chain.follower.next(stored)) throw chain.refuted(id);
    if (digest !== null && personal === null) this.#done.erased += 1;
    if (personal !== null && !isDigestOf(record))
      throw new Refuted({
        ...{ cause: 'personal', chain: record.chain, sequence: record.sequence, id },
        detail: 'its personal fields are not what their digest says',
      });
    this.#done.records += 1;
  }

  #gap({ chain: name, sequence, until, omitted, previous }: ExportedGap): void {
    const chain = this.#chainOf(name, sequence, previous);
    const packed = Buffer.from(omitted, 'base64');
    const count = until - sequence + 1;
    if (packed.length !== count * PLACE_BYTES)
      throw new Refuted({
        cause: 'missing',
        chain: name,
        sequence,
        detail: 'records left out are not all there',
      });
    for (let at = 0; at < count; at += 1) {
      const place = packed.subarray(at * PLACE_BYTES, (at + 1) * PLACE_BYTES);
      const recorded_at = new Date(Number(place.readBigInt64BE()));
      if (!chain.follower.skip({ sequence: sequence + at, recorded_at }, place.subarray(8)))
        throw chain.refuted(undefined);
    }
    this.#done.omitted += count;
  }

  #chainOf(name: string, sequence: number, previous: Previous | undefined): Chain {
    if (this.#chain?.name === name) return this.#chain;
    this.#closeLog();
    this.#closeChain();
    if (this.#chain !== undefined && name < this.#chain.name)
      throw new Refuted({
        cause: 'out_of_place',
        chain: name,
        sequence,
        detail: 'its chain has come before',
      });
    const vouched = this.#vouched.get(name) ?? [];
    this.#vouched.delete(name);
    this.#chain = new Chain(name, sequence, previous, vouched);
    this.#done.chains += 1;
    if (this.#chain.start.sequence > 0) this.#done.begun_late += 1;
    return this.#chain;
  }

  #closeChain(): void {
    const chain = this.#chain;
    if (chain === undefined) return;
    // An export of a time ends where the time does.
    if (!isOfTime(this.#header)) {
      chain.follower.end();
      if (chain.follower.fault !== undefined) throw chain.refuted(undefined);
    }
    this.#done.unsigned += Math.max(0, chain.follower.head.sequence - chain.vouchedUntil);
  }

  /** Chains that the checkpoint knows and the export does not. */
  #missingChains(): void {
    if (isOfTime(this.#header) || this.#header?.filters.types !== undefined) return;
    const [name] = [...this.#vouched.keys()].sort();
    if (name !== undefined)
      throw new Refuted({ cause: 'cut_tail', chain: name, sequence: 1, detail: sentences.cut_tail });
  }
}

/** The checkpoints kept outside that the export must agree with. */
function keptOf(
  { log_size: size, began_at: began }: ExportHeader,
  { kept, keptBefore }: Trust,
): Checkpoint[] {
  // Checkpoints say whole seconds.
  const isOlder = ({ time }: Checkpoint) => (time + 1) * 1000 <= Date.parse(began);
  return kept.filter((one) => one.size > 0 && (keptBefore || one.size <= size || isOlder(one)));
}

const PLACE_BYTES = 40;
const isOfTime = (header: ExportHeader | undefined) =>
  header?.filters.start !== undefined || header?.filters.end !== undefined;

function isDigestOf({ personal, personal_salt: salt, personal_digest: digest }: ExportedRecord): boolean {
  if (personal === null || salt === null || digest === null) return false;
  return personalDigest(Buffer.from(salt, 'hex'), personal).toString('hex') === digest;
}

const sentences: Readonly<Record<ChainFault['cause'], string>> = {
  changed: 'it was changed: it is not what its hash says',
  missing: 'it is missing',
  out_of_place: 'it is out of its place',
  repeated: 'the record after it is there twice, or out of its place',
  cut_tail: 'it is missing, and so is what came after: the chain was cut off here',
  not_in_checkpoint:
    'up to here the chain is not the one that the checkpoint vouches for: it was written anew',
};

/** One chain under way. */
class Chain {
  readonly name: string;
  readonly start: Head;
  readonly follower: ChainFollower;
  readonly vouchedUntil: number;

  constructor(name: string, sequence: number, previous: Previous | undefined, vouched: readonly Head[]) {
    this.name = name;
    if (previous === undefined)
      throw new Refuted({ cause: 'missing', chain: name, sequence, detail: 'the chain has no beginning' });
    this.start = { chain: name, sequence: previous.sequence, hash: Buffer.from(previous.hash, 'hex') };
    const known =
      previous.sequence === 0 ? genesis(name) : vouched.find((one) => one.sequence === previous.sequence);
    if (known !== undefined && !known.hash.equals(this.start.hash))
      throw new Refuted({
        ...{ cause: 'not_in_checkpoint', chain: name, sequence: previous.sequence },
        detail: 'the head before the first record is not the one that the checkpoint vouches for',
      });
    this.vouchedUntil = vouched.reduce((until, head) => Math.max(until, head.sequence), 0);
    this.follower = new ChainFollower(this.start, vouched);
  }

  refuted(id: string | undefined): Refuted {
    const { cause, sequence } = this.follower.fault ?? { cause: 'changed', sequence: 0 };
    const here = cause === 'changed' || cause === 'not_in_checkpoint';
    return new Refuted({
      ...{ cause, chain: this.name, sequence, detail: sentences[cause] },
      ...(here && id !== undefined && { id }),
    });
  }
}

/** The log of heads, compared with the checkpoint of the export and with those kept outside, as it comes. */
class LogOfHeads {
  closed = false;
  compared: Checkpoint | undefined;
  readonly #header: ExportHeader;
  readonly #checkpoint: Checkpoint | undefined;
  readonly #kept: readonly Checkpoint[];
  readonly #keptOf: ReadonlyMap<number, readonly Checkpoint[]>;
  readonly #reader = new LogReader();
  readonly #heads = new Map<string, Head[]>();
  /** The first entry after the last size at which the log was sound. */
  #suspect: Head | undefined;

  constructor(header: ExportHeader, checkpoint: Checkpoint | undefined, kept: readonly Checkpoint[]) {
    this.#header = header;
    this.#checkpoint = checkpoint;
    this.#kept = kept.toSorted((a, b) => a.size - b.size);
    this.#keptOf = Map.groupBy(this.#kept, ({ size }) => size);
    if (checkpoint !== undefined && checkpoint.size !== header.log_size)
      throw new Refuted({ cause: 'log', detail: 'its checkpoint is of another size than its log of heads' });
  }

  take(part: LogPart): void {
    const whole = this.#header.tenant_id === null && !isOfTime(this.#header);
    if ('head' in part) {
      this.#suspect ??= part.head;
      const { chain } = part.head;
      const heads = this.#heads.get(chain);
      if (heads === undefined) this.#heads.set(chain, [part.head]);
      else heads.push(part.head);
    } else if (whole) throw new Refuted({ cause: 'log', detail: 'its log of heads hides entries' });
    if (!this.#reader.append(part))
      throw new Refuted({ cause: 'log', detail: 'its log of heads is not in order' });
    this.#compare();
  }

  close(): Map<string, Head[]> {
    this.closed = true;
    this.#compare();
    const { size } = this.#reader;
    const root = this.#reader.root();
    const newest = this.#kept.at(-1);
    if (newest !== undefined && newest.size > size)
      throw new Refuted({
        cause: 'rolled_back',
        detail: `the checkpoint of ${timeOf(newest)} counts ${newest.size} entries of the log of heads, the trail has ${size}: what came after is gone`,
      });
    const point = this.#checkpoint;
    if (point === undefined ? size > 0 : size !== point.size || root?.equals(point.root) === false)
      throw this.#forked('its log of heads is not the one that its checkpoint signs');
    if (newest !== undefined && this.compared?.size !== newest.size) {
      const made = this.compared === undefined ? 'none' : `that of ${timeOf(this.compared)}`;
      throw new Fault(
        `the export leaves out what comparing it with the checkpoint of ${timeOf(newest)} needs; it was made for ${made}: export it again with --checkpoint, or verify it with the checkpoints that were kept then`,
      );
    }
    return this.#heads;
  }

  #compare(): void {
    const { size } = this.#reader;
    for (const one of this.#keptOf.get(size) ?? []) {
      if (!this.#reader.root()?.equals(one.root))
        throw this.#forked(`the trail is not the one of which the checkpoint of ${timeOf(one)} was signed`);
      this.compared = one;
      this.#suspect = undefined;
    }
  }

  #forked(detail: string): Refuted {
    const suspect = this.#suspect;
    const where = suspect && { chain: suspect.chain, sequence: suspect.sequence };
    return new Refuted({ cause: 'forked', ...where, detail });
  }
}
