import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { BaseConfig } from '@gatehouse/kit/inspection';
import { type Check, counted, failed, ok, skipped, warning } from './check.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** The environment completed by the configuration file, as the services would read it. */
export interface KnownSettings {
  readonly env: Environment;
  /** All of them, when nothing is wrong with them. */
  readonly config?: BaseConfig;
}

/** Any of these says that settings of the services are meant to be here. */
const signs = ['DATABASE_URL', 'GATEHOUSE_SECRET', 'ENCRYPTION_KEYS', 'NATS_URL', 'GATEHOUSE_CONFIG'];
const NAME = 'settings';

/** Loaded when they are needed: the services and all that they stand on. */
async function load() {
  const [kit, { services }] = await Promise.all([
    import('@gatehouse/kit/inspection'),
    import('@gatehouse/all-in-one'),
  ]);
  return { ...kit, services };
}
type Loaded = Awaited<ReturnType<typeof load>>;

/** Reads the settings as `--check-config` does, with its faults. */
export async function examineSettings(given: Environment = process.env): Promise<{
  readonly known: KnownSettings;
  readonly checks: readonly Check[];
}> {
  if (!signs.some((sign) => given[sign]?.trim()) && !existsSync('config.yaml')) {
    const remedy = 'for the checks of database, NATS and Redis run this where the services run';
    const finding = 'there are none here, neither in the environment nor in ./config.yaml';
    return { known: { env: {} }, checks: [skipped(NAME, finding, remedy)] };
  }
  const loaded = await load();
  const { env, faults: ofFile } = withFile(given, loaded);
  const read = processes(env, loaded).map((services) => readOne(given, services, loaded));
  const faults = [...new Set([...ofFile, ...read.flatMap((one) => one.faults)])];
  const warnings = [...new Set(read.flatMap((one) => one.warnings))];
  const config = faults.length === 0 ? read[0]?.config : undefined;
  return { known: { env, ...(config && { config }) }, checks: [judged(faults, warnings)] };
}

function judged(faults: readonly string[], warnings: readonly string[]): Check {
  if (faults.length > 0)
    return failed(NAME, counted(faults.length, 'fault'), {
      details: [...faults, ...warnings],
      remedy: 'mend them and start the services again; docs/config.md says what each setting takes',
    });
  if (warnings.length > 0)
    return warning(NAME, 'complete', { details: warnings, remedy: 'see the lines above' });
  return ok(NAME, 'complete');
}

function withFile(
  given: Environment,
  { withConfigFile, services, ConfigError, CONFIG_FILE_DEFAULT }: Loaded,
): { env: Environment; faults: readonly string[] } {
  const settings = Object.assign({}, ...services.map((service) => service.settings));
  try {
    const options = { settings, complete: false, fallback: CONFIG_FILE_DEFAULT };
    return { env: withConfigFile(given, options).env, faults: [] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { env: given, faults: error.faults };
  }
}

/** Which services share a process here: all, unless the credentials for NATS are those of single services. */
function processes({ NATS_CREDS: folder }: Environment, { services }: Loaded): Loaded['services'][] {
  const isFolder =
    folder !== undefined && statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true;
  if (!isFolder || existsSync(join(folder, 'all-in-one.creds'))) return [services];
  const single = services.filter(({ name }) => existsSync(join(folder, `${name}.creds`)));
  return single.length === 0 ? [services] : single.map((service) => [service]);
}

interface ReadOne {
  readonly config?: BaseConfig;
  readonly faults: readonly string[];
  readonly warnings: readonly string[];
}

function readOne(
  given: Environment,
  services: Loaded['services'],
  { readSettings, ConfigError }: Loaded,
): ReadOne {
  try {
    const { config, warnings } = readSettings(services, given === process.env ? undefined : given);
    return { config, warnings, faults: [] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { faults: error.faults, warnings: [] };
  }
}
