import { Readable } from 'node:stream';
import type { Checkpoint, NoteVerifier } from '@gatehouse/audit-chain';
import type { Command } from 'commander';
import { Api } from '../api.ts';
import { type ExportItem, openExportFile, readExport } from '../audit/export-lines.ts';
import { keptCheckpoints, newestSize } from '../audit/kept-checkpoints.ts';
import { openExport } from '../audit/open-export.ts';
import { type Progress, progressOf } from '../audit/progress.ts';
import { trustedKey, trustKey, verifierOf } from '../audit/trusted-key.ts';
import { type Sound, type Verdict, verifyExport, type Wrong } from '../audit/verify-export.ts';
import { Fault } from '../fault.ts';
import { examples } from '../nats/change.ts';
import { type Globals, show } from '../output.ts';
import { warn } from '../report-error.ts';

interface VerifyOptions extends Globals {
  readonly file?: string;
  readonly checkpoint?: string;
  readonly key?: string;
  readonly tenant?: string;
}

/** `gatehouse audit verify` */
export function addAuditVerify(audit: Command): void {
  examples(
    audit
      .command('verify')
      .description('whether the trail is the one that was recorded; names the first bad record')
      .option('--file <export>', 'an export (ndjson or json) rather than the installation; needs no network')
      .option(
        '--checkpoint <file>',
        'checkpoints kept outside: without them a trail that was cut and signed anew is not noticed',
      )
      .option(
        '--key <key>',
        'verifier key of the checkpoints, <origin>+<id>+<key>; trusted on first use unless given',
      )
      .option('--tenant <id>', 'only the trail of this tenant (without --file)'),
    'audit verify --checkpoint /mnt/worm/checkpoints.txt',
    'audit verify --file audit-2024-01.json --checkpoint checkpoints.txt --key "$(cat audit-key.txt)"',
  ).action(async (_options: unknown, command: Command) => run(command.optsWithGlobals<VerifyOptions>()));
}

async function run(options: VerifyOptions): Promise<void> {
  const verdict = options.file === undefined ? await online(options) : await offline(options, options.file);
  if ('wrong' in verdict) throw faultOf(verdict.wrong);
  show(options, { sound: true, ...verdict.sound }, sentencesOf(verdict.sound));
  if (options.checkpoint === undefined && !options.quiet && !options.json)
    warn(
      'no checkpoint kept outside was given: what the database’s owner cuts off and signs anew shows only there',
    );
}

async function online(options: VerifyOptions): Promise<Verdict> {
  const verifier = await keyOf(options);
  const kept = await keptOf(options, verifier);
  const { body, total } = await openExport(options.url, {
    ...{ format: 'ndjson', tenant_id: options.tenant, reason: 'gatehouse audit verify' },
    log_size: kept.length === 0 ? undefined : String(newestSize(kept)),
  });
  const progress = progressOf(options.quiet === true || options.json === true, total);
  try {
    return await verifyExport(counted(readExport(Readable.fromWeb(body as never)), progress), {
      verifier,
      kept,
      keptBefore: true,
    });
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault(`the connection broke while verifying (${(error as Error).name}): verify again`);
  } finally {
    progress.end();
  }
}

async function keyOf(options: VerifyOptions): Promise<NoteVerifier> {
  if (options.key !== undefined) return verifierOf(options.key);
  const api = new Api(options.url);
  const { verifier_key: text } = await api.request('GET', '/api/audit/checkpoint-key');
  const { key, isNew } = await trustKey(api.url, String(text));
  if (isNew) warn(`the key of this audit log is trusted from now on: ${text}`);
  return key;
}

async function offline(options: VerifyOptions, file: string): Promise<Verdict> {
  if (options.tenant !== undefined)
    throw new Fault('--tenant goes with the installation: a file says itself whose it is', 2);
  const items = readExport(openExportFile(file));
  try {
    const verifier = options.key === undefined ? await trustedFor(file) : verifierOf(options.key);
    const kept = await keptOf(options, verifier);
    return await verifyExport(items, { verifier, kept, keptBefore: false });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'EACCES' || code === 'EISDIR')
      throw new Fault(`${file} cannot be read (${code})`, 2);
    throw error;
  }
}

/** The key that was trusted before for the log of which the export says it is. */
async function trustedFor(file: string): Promise<NoteVerifier> {
  for await (const item of readExport(openExportFile(file))) {
    if (!('header' in item)) break;
    const key = await trustedKey(item.header.origin);
    if (key !== undefined) return key;
    throw new Fault(`no key is known here for the audit log ${item.header.origin}: give it with --key`, 2);
  }
  throw new Fault('the file does not begin as an export does');
}

const keptOf = ({ checkpoint }: VerifyOptions, verifier: NoteVerifier): Promise<Checkpoint[]> =>
  checkpoint === undefined ? Promise.resolve([]) : keptCheckpoints(checkpoint, verifier);

async function* counted(items: AsyncIterable<ExportItem>, progress: Progress): AsyncGenerator<ExportItem> {
  for await (const item of items) {
    if ('record' in item) progress.add(1);
    yield item;
  }
}

class NotSound extends Fault {
  readonly #wrong: Wrong;
  constructor(wrong: Wrong) {
    const at = wrong.sequence === undefined ? '' : ` at record ${wrong.sequence} of chain ${wrong.chain}`;
    const id = wrong.id === undefined ? '' : ` (id ${wrong.id})`;
    super(`the trail is NOT sound${at}${id}: ${wrong.detail} [${wrong.cause}]`);
    this.#wrong = wrong;
  }
  override get problem(): Record<string, unknown> {
    return { sound: false, ...this.#wrong };
  }
}

const faultOf = (wrong: Wrong) => new NotSound(wrong);

function sentencesOf({
  records,
  omitted,
  chains,
  erased,
  unsigned,
  begun_late,
  began_at,
  checkpoint,
  compared,
}: Sound): string {
  const lines = [`the trail is sound: ${records} records in ${chains} chains, as of ${began_at}`];
  if (omitted > 0)
    lines.push(`${omitted} more were left out of the export; their places in the chains are sound`);
  if (erased > 0) lines.push(`of ${erased} records the personal fields were erased`);
  if (begun_late > 0)
    lines.push(
      `${begun_late} chains begin later than their first record: retention dropped it, or the export is of a time`,
    );
  if (checkpoint !== null)
    lines.push(`signed by ${checkpoint.origin} on ${checkpoint.time}, ${checkpoint.size} heads`);
  if (unsigned > 0) lines.push(`${unsigned} records at the ends of chains are not signed for yet`);
  if (compared !== null) lines.push(`compared with the checkpoint kept outside of ${compared.time}`);
  return lines.join('\n');
}
