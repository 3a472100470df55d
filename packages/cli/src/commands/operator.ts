import type { Command } from 'commander';
import { Api, type Json } from '../api.ts';
import { Fault } from '../fault.ts';
import {
  type ChangeOptions,
  changing,
  create,
  deleting,
  examples,
  remove,
  sentence,
  update,
  updating,
  withReason,
} from '../nats/change.ts';
import { addClaimFlags, claimsFrom, operatorFlags } from '../nats/claim-flags.ts';
import { type ListOptions, listing, showList, showOne } from '../nats/listing.ts';
import { find, operators } from '../nats/object.ts';
import { type Globals, show } from '../output.ts';
import { readJwtFile, readSeedFile } from '../secret-file.ts';
import { addOperatorTransfer } from './operator-transfer.ts';

interface OperatorOptions extends ChangeOptions {
  readonly name?: string;
  readonly open?: boolean;
}

/** `gatehouse operator …`: the roots of trust of NATS servers. */
export function addOperator(program: Command): void {
  const operator = program.command('operator').description('NATS operators: whom servers trust');
  examples(
    listing(operator.command('list').description('operators, the newest first'), { tags: true }),
    'operator list',
  ).action(async (_options: unknown, command: Command) => {
    await showList(operators.path, command.optsWithGlobals<ListOptions>(), {
      columns: ['name', 'own', 'root_key', 'open_to_tenants', 'keys', 'public_key', 'updated_at'],
      row: (one) => ({ ...one, keys: (one.signing_keys as unknown[] | undefined)?.length }),
    });
  });
  examples(
    operator
      .command('get')
      .argument('<operator>', 'name, id or public key')
      .description('one operator')
      .option('--jwt', 'only its JWT'),
    'operator get main',
    'operator get main --jwt > operator.jwt',
  ).action(async (reference: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<Globals & { jwt?: boolean }>();
    await showOne(operators, options, (api) => find(api, operators, reference));
  });
  addCreate(operator);
  addUpdate(operator);
  examples(
    deleting(
      operator
        .command('delete')
        .argument('<operator>', 'name, id or public key')
        .description('delete an operator that has no accounts and no clusters'),
    ),
    'operator delete trial --reason "trial is over"',
  ).action(async (reference: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<OperatorOptions>();
    const api = new Api(options.url);
    await remove(api, operators, await find(api, operators, reference), { options });
  });
  addResign(operator);
  addKeys(operator.command('key').description('signing keys of an operator'));
  addOperatorTransfer(operator);
}

function addCreate(operator: Command): void {
  const command = operator
    .command('create')
    .argument('<name>', 'of the new operator')
    .description('make an operator with a signing key and a system account')
    .option('--open', 'tenants may have accounts under it, within their allowances');
  examples(
    addClaimFlags(changing(command), operatorFlags),
    'operator create main --open',
    'operator create edge --service-url nats://edge.example.com:4222 --assert-server-version 2.10.0',
  ).action(async (name: string, _options: unknown, self: Command) => {
    const options = self.optsWithGlobals<OperatorOptions>();
    const claims = await claimsFrom(operatorFlags, options as unknown as Json);
    const { open } = options;
    const body = { name, ...(claims && { claims }), ...(open !== undefined && { open_to_tenants: open }) };
    await create(new Api(options.url), operators.path, body, {
      options,
      done: (answer) => `operator ${name}: made, ${answer.public_key}`,
    });
  });
}

function addUpdate(operator: Command): void {
  const command = operator
    .command('update')
    .argument('<operator>', 'name, id or public key')
    .description('change an operator; servers read its JWT when they start')
    .option('--name <name>', 'a new name')
    .option('--open', 'tenants may have accounts under it, within their allowances')
    .option('--no-open', 'tenants get no new accounts under it')
    .option(
      '--operator-jwt <file>',
      'the new JWT of an operator whose root key is elsewhere; - reads standard input',
    );
  examples(
    addClaimFlags(updating(command), operatorFlags, { update: true }),
    'operator update main --service-url nats://a.example.com:4222 --dry-run',
    'operator update offline --operator-jwt operator.jwt',
  ).action(async (reference: string, _options: unknown, self: Command) => {
    const options = self.optsWithGlobals<OperatorOptions & { operatorJwt?: string }>();
    const api = new Api(options.url);
    const claims = await claimsFrom(operatorFlags, options as unknown as Json);
    const { name, open, operatorJwt } = options;
    const found = await find(api, operators, reference);
    const body = {
      ...(name !== undefined && { name }),
      ...(open !== undefined && { open_to_tenants: open }),
      ...(claims && { claims }),
    };
    if (operatorJwt === undefined) {
      await update(api, operators, found, { options, body });
      return;
    }
    if (Object.keys(body).length > 0) throw new Fault('--operator-jwt goes alone: the JWT says the rest', 2);
    const path = `${operators.path}/${found.id}/jwt${options.dryRun ? '?dry_run=true' : ''}`;
    const answer = await api.request(
      'PUT',
      path,
      withReason({ jwt: await readJwtFile(operatorJwt) }, options),
    );
    show(options, answer, sentence(`operator ${found.name}: its JWT is the new one`, answer));
  });
}

function addResign(operator: Command): void {
  examples(
    operator
      .command('resign')
      .argument('<operator>', 'name, id or public key')
      .description('sign accounts anew that the root key has signed; nobody is disconnected')
      .option('--reason <text>', 'why; kept in the audit'),
    'operator resign main --reason "before --strict"',
  ).action(async (reference: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<OperatorOptions>();
    const api = new Api(options.url);
    const found = await find(api, operators, reference);
    let resigned = 0;
    for (;;) {
      const answer = await api.request(
        'POST',
        `${operators.path}/${found.id}/resign`,
        withReason({}, options),
      );
      resigned += Number(answer.resigned);
      if (answer.remaining === 0 || answer.resigned === 0) {
        const left = answer.remaining === 0 ? '' : `; ${answer.remaining} remain`;
        show(
          options,
          { ...answer, resigned },
          `operator ${found.name}: ${resigned} accounts signed anew${left}`,
        );
        return;
      }
    }
  });
}

function addKeys(key: Command): void {
  examples(
    changing(
      key
        .command('add')
        .argument('<operator>', 'name, id or public key')
        .description(
          'give it another signing key: a new one, unless a file is named; it signs when every server trusts it',
        )
        .option('--seed-file <file>', 'with this seed; - reads standard input')
        .option('--public-key <key>', 'only the public half; signs nothing here'),
    ),
    'operator key add main --reason "yearly rotation"',
  ).action(async (reference: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<ChangeOptions & KeyOptions>();
    const api = new Api(options.url);
    const body = await keyBody(options);
    const found = await find(api, operators, reference);
    await create(api, `${operators.path}/${found.id}/signing-keys`, body, {
      options,
      done: () => `operator ${found.name}: has a new signing key; put its new JWT on every server`,
    });
  });
  examples(
    deleting(
      key
        .command('remove')
        .argument('<operator>', 'name, id or public key')
        .argument('<public-key>', 'of the signing key')
        .description('take a signing key from it'),
    ),
    'operator key remove main OABC…',
  ).action(async (reference: string, publicKey: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<ChangeOptions>();
    const api = new Api(options.url);
    const found = await find(api, operators, reference);
    await remove(
      api,
      operators,
      {
        id: `${found.id}/signing-keys/${encodeURIComponent(publicKey)}`,
        revisionOf: found.id,
        name: `${found.name}, signing key ${publicKey}`,
      },
      { options, done: 'taken from it; put its new JWT on every server' },
    );
  });
}

/** What a new signing key may come from. */
export interface KeyOptions {
  readonly seedFile?: string;
  readonly publicKey?: string;
}

/** The body that adds a signing key. */
export async function keyBody({ seedFile, publicKey }: KeyOptions): Promise<Json> {
  if (seedFile !== undefined && publicKey !== undefined)
    throw new Fault('say --seed-file or --public-key, not both', 2);
  return {
    ...(seedFile !== undefined && { seed: await readSeedFile(seedFile) }),
    ...(publicKey !== undefined && { public_key: publicKey }),
  };
}
