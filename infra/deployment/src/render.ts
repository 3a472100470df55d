import { spawnSync } from 'node:child_process';
import { parseAllDocuments } from 'yaml';

/** A Kubernetes object as it would be applied. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  // What it holds depends on the kind; the schema has been asked before anybody reads it.
  // biome-ignore lint/suspicious/noExplicitAny: the policies read what the schema has checked
  readonly [key: string]: any;
}

/** What a kustomization comes to. */
export function render(kustomize: string, folder: string): KubeObject[] {
  const { status, stdout, stderr } = spawnSync(kustomize, ['build', folder], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status !== 0) throw new Error(`kustomize build ${folder}: ${stderr}`);
  return parseAllDocuments(stdout).map((document) => {
    const [fault] = document.errors;
    if (fault) throw fault;
    return document.toJS() as KubeObject;
  });
}

/** `Deployment gatehouse-auth`. */
export const nameOf = ({ kind, metadata }: KubeObject): string => `${kind} ${metadata.name}`;
