import { availableParallelism, cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { audit } from './audit.ts';
import { auditExport } from './audit-export.ts';
import { auditSearch } from './audit-search.ts';
import { closeTrail } from './audit-trail.ts';
import { behindPooler, type Measurement } from './bench.ts';
import { cost } from './cost.ts';
import { footprint } from './footprint.ts';
import { http } from './http.ts';
import { ingest } from './ingest.ts';
import { login } from './login.ts';
import { natsCredentials } from './nats-credentials.ts';
import { natsReencrypt } from './nats-reencrypt.ts';
import { natsSync } from './nats-sync.ts';
import { pooler } from './pooler.ts';
import { refresh } from './refresh.ts';
import { type Figure, table } from './report.ts';
import { revocation } from './revocation.ts';

const measurements: Readonly<Record<string, Measurement>> = {
  refresh,
  login,
  http,
  revocation,
  audit,
  'audit-search': auditSearch,
  'audit-export': auditExport,
  ingest,
  footprint,
  cost,
  'nats-credentials': natsCredentials,
  'nats-reencrypt': natsReencrypt,
  'nats-sync': natsSync,
  pooler,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '10' }, json: { type: 'boolean', default: false } },
});
const unknown = positionals.filter((name) => measurements[name] === undefined);
if (unknown.length > 0) {
  console.error(
    `there is no measurement ${unknown.join(', ')}: choose from ${Object.keys(measurements).join(', ')}`,
  );
  process.exit(2);
}

const names = positionals.length > 0 ? positionals : Object.keys(measurements);
const figures: Figure[] = [];
for (const name of names) {
  const measure = measurements[name];
  if (measure === undefined) continue;
  figures.push(...(await measure({ seconds: Number(values.seconds), say: (line) => console.error(line) })));
}
await closeTrail();
const [cpu] = cpus();
console.log(
  `\nNode ${process.versions.node}, ${availableParallelism()} cores (${cpu?.model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GiB; ` +
    `services, Postgres, nats-server and the load generator share them${behindPooler ? ', with PgBouncer in between' : ''}; loads of ${values.seconds} s\n`,
);
console.log(table(figures));
if (values.json) console.log(JSON.stringify(figures, null, 2));
process.exit(0);
