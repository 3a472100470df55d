import type { Command } from 'commander';
import { Api } from '../api.ts';
import { Fault } from '../fault.ts';
import { chooseInstallation } from '../installation.ts';
import { type Globals, show, showObject, showRows } from '../output.ts';
import { addressOf, changeProfiles, profileName, profileNamed, readProfiles } from '../profile.ts';
import { warn } from '../report-error.ts';
import { isLoopback } from '../send.ts';
import { sessionsOf } from '../session-file.ts';

/** `gatehouse profile …`: names for several installations, each with its own sign-in. */
export function addProfile(program: Command): void {
  const profile = program
    .command('profile')
    .description('names for several installations; each profile has a sign-in of its own');
  addList(profile);
  addShow(profile);
  addAdd(profile);
  addUse(profile);
  addRemove(profile);
}

function addList(profile: Command): void {
  profile
    .command('list')
    .description('every profile with its address; with --quiet the names alone')
    .addHelpText('after', '\nExample:\n  gatehouse profile list\n')
    .action((_options: unknown, command: Command) => {
      const globals = command.optsWithGlobals<Globals>();
      const { current, profiles } = readProfiles();
      const rows = Object.entries(profiles).map(([name, { url, tenant }]) => ({
        name,
        url,
        tenant: tenant ?? null,
        in_use: name === current,
      }));
      if (globals.quiet && !globals.json) for (const { name } of rows) console.log(name);
      else showRows(globals, rows, ['name', 'url', 'tenant', 'in_use']);
    });
}

function addShow(profile: Command): void {
  profile
    .command('show')
    .argument('[name]', 'which; without one, the installation that commands speak to now, and why')
    .description('the address and the tenant of a profile, and whether somebody is signed in with it')
    .addHelpText('after', '\nExamples:\n  gatehouse profile show\n  gatehouse profile show production\n')
    .action(async (name: string | undefined, _options: unknown, command: Command) => {
      const globals = command.optsWithGlobals<Globals & { profile?: string }>();
      const { url, profile, tenant, source } =
        name === undefined
          ? chooseInstallation({ url: globals.url, profile: globals.profile })
          : { ...profileNamed(name), profile: name, source: 'named' };
      const signed_in = await new Api(url, profile).signedIn();
      showObject(globals, {
        profile: profile ?? null,
        url,
        tenant: tenant ?? null,
        chosen_by: source,
        signed_in,
      });
    });
}

function addAdd(profile: Command): void {
  profile
    .command('add')
    .argument('<name>', 'letters, digits, . _ and -')
    .argument('<address>', 'public address of the installation')
    .description('give an installation a name; the first one is used from then on')
    .option('--tenant <id>', 'where e-mail addresses are looked up unless a command says --tenant')
    .option('--force', 'take the place of a profile of that name')
    .addHelpText('after', '\nExample:\n  gatehouse profile add production https://id.example.com\n')
    .action(
      async (
        name: string,
        address: string,
        options: { tenant?: string; force?: boolean },
        command: Command,
      ) => {
        const entry = { url: addressOf(address), ...(options.tenant && { tenant: options.tenant }) };
        await changeProfiles(({ current, profiles }) => {
          if (Object.hasOwn(profiles, profileName(name)) && !options.force)
            throw new Fault(`there is a profile ${name} already: choose another name, or say --force`);
          return { current: current ?? name, profiles: { ...profiles, [name]: entry } };
        });
        const { protocol, hostname } = new URL(entry.url);
        if (protocol === 'http:' && !isLoopback(hostname))
          warn(`${entry.url} is not https: passwords and tokens will go there unencrypted`);
        show(command.optsWithGlobals(), { name, ...entry }, `${name} is ${entry.url}`);
      },
    );
}

function addUse(profile: Command): void {
  profile
    .command('use')
    .argument('<name>', 'which')
    .description('let commands speak to this installation unless told otherwise')
    .addHelpText('after', '\nExample:\n  gatehouse profile use production\n')
    .action(async (name: string, _options: unknown, command: Command) => {
      const { url } = profileNamed(name);
      await changeProfiles((before) => ({ ...before, current: name }));
      show(command.optsWithGlobals(), { name, url }, `commands speak to ${url} from now on`);
      const stronger = ['GATEHOUSE_URL', 'GATEHOUSE_PROFILE'].find((variable) => process.env[variable]);
      if (stronger !== undefined)
        warn(`${stronger} is set in this shell and decides before the profile in use`);
    });
}

function addRemove(profile: Command): void {
  profile
    .command('remove')
    .argument('<name>', 'which')
    .description('forget a profile, and sign out where it was signed in')
    .addHelpText('after', '\nExample:\n  gatehouse profile remove staging\n')
    .action(async (name: string, _options: unknown, command: Command) => {
      profileNamed(name);
      for (const { url } of await sessionsOf(name))
        if ((await new Api(url, name).logout()) === 'untold')
          warn(`${url} could not be told: the session there lives on until it expires or is revoked`);
      await changeProfiles(({ current, profiles }) => {
        const { [name]: _, ...others } = profiles;
        return current === name || current === undefined
          ? { profiles: others }
          : { current, profiles: others };
      });
      show(command.optsWithGlobals(), { name }, `${name} is forgotten`);
    });
}
