import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { catalogue, eventSubjects } from '@gatehouse/events';
import {
  busServices,
  busSubjects,
  busSubjectsOfAll,
  busTemplate,
  eventStream,
  heartbeatSubject,
  revocationStream,
  revocationSubject,
} from '@gatehouse/nats-claims';
import { describe, expect, it } from 'vitest';

// What a service may say on the platform's own bus, held against what its sources append.
const root = join(import.meta.dirname, '../../..');
const services = busServices.filter((name) => name !== 'all-in-one');
const types: readonly string[] = catalogue.map(({ type }) => type);

/** Files that name events of others: documents quote them as examples, the audit looks for them and translates them. */
const readers: ReadonlySet<string> = new Set(['asyncapi.ts', 'export-ocsf.ts', 'login-events.ts']);

/** Types of the catalogue that stand as texts in the sources of a service. */
function appendedBy(service: string): string[] {
  const folder = join(root, 'services', service, 'src');
  const text = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !/(\.test|testing)\.ts$/.test(name))
    .filter((name) => !readers.has(name))
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('\n');
  const ofAll: readonly string[] = busSubjectsOfAll;
  return types.filter((type) => text.includes(`'${type}'`) || ofAll.includes(type));
}

const covers = (pattern: string, subject: string) =>
  pattern.endsWith('.>') ? subject.startsWith(pattern.slice(0, -1)) : pattern === subject;

describe('the bus', () => {
  it.each(services)('%s may publish every event that it appends', (service) => {
    const subjects = busSubjects(service);
    const missing = appendedBy(service).filter((type) => !subjects.some((one) => covers(one, type)));
    expect(missing).toEqual([]);
  });

  it('nobody may publish in a domain of which it appends nothing', () => {
    const idle = services.flatMap((service) => {
      const appended = appendedBy(service);
      return (
        busSubjects(service)
          .filter((subject) => eventSubjects.some((domain) => covers(domain, subject.replace(/>$/, 'x'))))
          // Audit's own domain has no event yet.
          .filter((subject) => subject !== 'audit.>' && !appended.some((type) => covers(subject, type)))
          .map((subject) => `${service}: ${subject}`)
      );
    });
    expect(idle).toEqual([]);
  });

  it('only token writes the revocation feed and vouches for it', () => {
    const writers = (subject: string) =>
      services.filter((service) => busSubjects(service).some((one) => covers(one, subject)));
    expect(writers(revocationSubject)).toEqual(['token']);
    expect(writers(heartbeatSubject)).toEqual(['token']);
  });

  it('nobody may purge or delete, and nobody touches a stream other than the two', () => {
    for (const service of busServices) {
      const { pub, sub } = busTemplate(service);
      const allowed = pub?.allow ?? [];
      expect(allowed.filter((one) => /STREAM\.(DELETE|PURGE|MSG)|\$SYS/.test(one))).toEqual([]);
      const streams = allowed
        .filter((one) => one.startsWith('$JS.API.'))
        .filter((one) => ![eventStream, revocationStream].some((stream) => one.split('.').includes(stream)));
      expect(streams).toEqual([]);
      expect(sub?.allow).toEqual([heartbeatSubject, `_INBOX_${service}.>`]);
    }
  });
});
