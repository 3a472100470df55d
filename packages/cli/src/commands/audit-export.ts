import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Command, Option } from 'commander';
import { refuseTaken } from '../audit/export-file.ts';
import { keptCheckpoints, newestSize } from '../audit/kept-checkpoints.ts';
import { openExport } from '../audit/open-export.ts';
import { exportToFile } from '../audit/run-export.ts';
import { verifierOf } from '../audit/trusted-key.ts';
import { Fault } from '../fault.ts';
import { examples } from '../nats/change.ts';
import { type Globals, show } from '../output.ts';

interface ExportOptions extends Globals {
  readonly start?: string;
  readonly end?: string;
  readonly types?: string;
  readonly tenant?: string;
  readonly format?: string;
  readonly output?: string;
  readonly resume?: boolean;
  readonly force?: boolean;
  readonly proof: boolean;
  readonly reason?: string;
  readonly checkpoint?: string;
  readonly key?: string;
}

/** `gatehouse audit export` */
export function addAuditExport(audit: Command): void {
  examples(
    audit
      .command('export')
      .description('write the trail, or a part of it, into a file: each chain oldest first')
      .option('--start <time>', 'happened from this date, or time, on')
      .option('--end <time>', 'happened up to this date, that day included, or before this time')
      .option('--types <types>', 'only these, with commas between; auth.login.* is all below auth.login')
      .option('--tenant <id>', 'of this tenant')
      .addOption(
        new Option('--format <format>', 'ndjson and json can be verified; csv is for spreadsheets').choices([
          'json',
          'ndjson',
          'csv',
          'ocsf',
        ]),
      )
      .option('--output <file>', 'where to; standard output unless given')
      .option('--resume', 'go on with an export to that file that was broken off')
      .option('--force', 'write over a file that is there')
      .option('--no-proof', 'the records alone, without what verifying needs')
      .option(
        '--checkpoint <file>',
        'make it comparable with the newest checkpoint of that file (with --key)',
      )
      .option('--key <key>', 'the key of the checkpoints')
      .option('--reason <text>', 'why; kept in the audit'),
    'audit export --start 2024-01-01 --end 2024-01-31 --format json --output audit-2024-01.json',
    'audit export --types "auth.login.failure,auth.login.blocked" --format csv --output failures.csv',
    'audit export --output trail.ndjson --resume',
  ).action(async (_options: unknown, command: Command) => run(command.optsWithGlobals<ExportOptions>()));
}

async function run(options: ExportOptions): Promise<void> {
  const { output, resume, force } = options;
  const query = await queryOf(options);
  if (output === undefined || output === '-') {
    if (resume) throw new Fault('--resume needs --output', 2);
    const { body } = await openExport(options.url, query);
    await pipeline(Readable.fromWeb(body as never), process.stdout, { end: false });
    return;
  }
  if (!resume) await refuseTaken(output, force === true);
  const quiet = options.quiet === true || options.json === true;
  const { lines, bytes } = await exportToFile({ url: options.url, query, output, quiet }, resume === true);
  show(options, { output, lines, bytes }, `${output}: ${lines} lines, ${bytes} bytes`);
}

async function queryOf(options: ExportOptions): Promise<Record<string, string>> {
  const { start, end, types, tenant, format, proof, reason, checkpoint, key } = options;
  if ((checkpoint === undefined) !== (key === undefined))
    throw new Fault('--checkpoint and --key go together', 2);
  const size =
    checkpoint === undefined || key === undefined
      ? undefined
      : String(newestSize(await keptCheckpoints(checkpoint, verifierOf(key))));
  const all = { start, end, types: types?.replace(/\s+/g, ''), tenant_id: tenant, format, reason };
  const more = { proof: proof ? undefined : 'none', log_size: size };
  return Object.fromEntries(
    Object.entries({ ...all, ...more }).filter((one): one is [string, string] => one[1] !== undefined),
  );
}
