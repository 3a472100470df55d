import { baseSettings, type Service, type Settings } from '@gatehouse/kit';
import { code, page, table } from './markdown.ts';
import { services } from './platform.ts';

const introduction = `
Settings come from the environment and are read once, at the start. All faults are reported together; a report names
the setting and what is wrong with it, never its value. \`--check-config\` on any \`main.ts\` reads the settings, says
what is wrong, and exits with 0 or 2. An empty value counts as missing.

In one process every service reads the same environment; split up, each service needs the settings of every service
and its own. \`npm start\` makes up the three secrets and the addresses of its embedded parts; what you set wins.
`;

/** One setting and who reads it. */
export interface DeclaredSetting {
  readonly name: string;
  readonly setting: Settings[string];
  readonly services: readonly string[];
}

/** The settings that the services declare besides the base, each with the services that declare it. */
export function declaredSettings(all: readonly Service[] = services): DeclaredSetting[] {
  const found = new Map<string, { setting: Settings[string]; services: string[] }>();
  for (const { name: service, settings } of all) {
    for (const [name, setting] of Object.entries(settings)) {
      if (name in baseSettings) continue;
      const known = found.get(name);
      if (known) known.services.push(service);
      else found.set(name, { setting, services: [service] });
    }
  }
  return [...found].map(([name, about]) => ({ name, ...about }));
}

function rowOf(name: string, setting: Settings[string], users: string): string[] {
  const required = { always: 'yes', production: 'in production', never: '' }[setting.requiredIn];
  const shown = setting.shown === undefined || setting.shown === '' ? '' : code(setting.shown);
  return [code(name), setting.kind, shown, required, setting.secret ? 'yes' : '', setting.doc, users];
}

const head = ['Name', 'Kind', 'Default', 'Required', 'Secret', 'Meaning'];

/** docs/config.md. */
export function configPage(): string {
  const base = Object.entries(baseSettings as Settings).map(([name, one]) =>
    rowOf(name, one, '').slice(0, 6),
  );
  const own = declaredSettings().map(({ name, setting, services: users }) =>
    rowOf(name, setting, users.join(', ')),
  );
  return page('Settings', introduction, [
    '## Of every service',
    table(head, base),
    '## Of single services',
    table([...head, 'Read by'], own),
  ]);
}
