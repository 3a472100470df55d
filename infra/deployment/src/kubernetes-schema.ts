import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from '@gatehouse/embedded';
import { type KubeObject, nameOf } from './render.ts';

type Model = new (data: unknown) => { validate(): void };

/** Whose definitions are not in Kubernetes' own OpenAPI document. */
const operators: Readonly<Record<string, string>> = {
  'monitoring.coreos.com': '@kubernetes-models/prometheus-operator',
  'external-secrets.io': '@kubernetes-models/external-secrets',
};

/** The module that knows an object: generated from Kubernetes' OpenAPI document, or from an operator's definitions. */
function moduleOf(apiVersion: string): string {
  const [group = ''] = apiVersion.split('/');
  return `${operators[group] ?? 'kubernetes-models'}/${apiVersion}`;
}

/** What the schemas say of objects: required fields, types, formats, patterns, and (by the compiler) unknown fields. */
export async function schemaFaults(objects: readonly KubeObject[]): Promise<string[]> {
  const faults: string[] = [];
  const known: KubeObject[] = [];
  for (const object of objects) {
    const models = (await import(moduleOf(object.apiVersion)).catch(() => ({}))) as Record<string, Model>;
    const Known = models[object.kind];
    if (Known === undefined) {
      faults.push(`${nameOf(object)}: there is no ${object.kind} in ${object.apiVersion}`);
      continue;
    }
    known.push(object);
    try {
      new Known(object).validate();
    } catch (error) {
      faults.push(`${nameOf(object)}: ${error instanceof Error ? error.message : error}`);
    }
  }
  return [...faults, ...typeFaults(known)];
}

/**
 * The validators take fields that they do not know, which is how a typing error becomes a pod without limits. The types
 * of the same package do not: each object is checked as the literal of its type.
 */
function typeFaults(objects: readonly KubeObject[]): string[] {
  const parent = join(import.meta.dirname, '../node_modules/.manifests');
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, 'check-'));
  try {
    const lines = objects.map(({ apiVersion, kind }, index) => {
      const type = `import('${moduleOf(apiVersion)}/${kind}').I${kind}`;
      return `export const object${index}: ${type} = ${JSON.stringify(objects[index])};`;
    });
    writeFileSync(join(folder, 'manifests.ts'), `${lines.join('\n')}\n`);
    const options = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--ignoreConfig'];
    const compiler = join(repositoryRoot, 'node_modules/.bin/tsc');
    const { stdout, status } = spawnSync(compiler, [...options, '--pretty', 'false', 'manifests.ts'], {
      cwd: folder,
      encoding: 'utf8',
    });
    if (status === 0) return [];
    const found = [...stdout.matchAll(/^manifests\.ts\((\d+),\d+\): error TS\d+: (.*)$/gm)];
    if (found.length === 0) return [`the compiler ended with ${status}: ${stdout}`];
    return found.map(([, line, text]) => {
      const object = objects[Number(line) - 1];
      return `${object ? nameOf(object) : ''}: ${text}`;
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
