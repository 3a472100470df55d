import { commandSettings, requiredOf, settings, settingsOf } from './catalogue.ts';
import { type Workload, workloads } from './policy-pods.ts';
import type { KubeObject } from './render.ts';

interface Given {
  readonly name: string;
  readonly value: string | undefined;
  readonly optional: boolean;
}

/** What is wrong with the settings that pods are given. */
export function settingFaults(objects: readonly KubeObject[]): string[] {
  return workloads(objects).flatMap((one) => {
    const given = givenTo(one, objects);
    return [...given.flatMap((setting) => faultsOf(setting, one)), ...missing(given, one)].map(
      (fault) => `${one.name} ${fault}`,
    );
  });
}

function givenTo({ container }: Workload, objects: readonly KubeObject[]): Given[] {
  const maps = (container.envFrom ?? []).flatMap(
    ({ configMapRef, secretRef }: Record<string, { name: string }>) => {
      if (secretRef)
        return [{ name: `everything in the Secret ${secretRef.name}`, value: undefined, optional: false }];
      const map = objects.find(
        ({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === configMapRef?.name,
      );
      return Object.entries((map?.data ?? {}) as Record<string, string>).map(([name, value]) => ({
        ...{ name, value, optional: false },
      }));
    },
  );
  const own = (container.env ?? []).map((one: { name: string; value?: string; valueFrom?: Source }) => ({
    name: one.name,
    value: one.valueFrom?.secretKeyRef ? undefined : (one.value ?? ''),
    optional: one.valueFrom?.secretKeyRef?.optional === true,
  }));
  return [...maps, ...own];
}

interface Source {
  readonly secretKeyRef?: { readonly name: string; readonly optional?: boolean };
}

function faultsOf({ name, value }: Given, { process }: Workload): string[] {
  const setting = settings[name];
  if (setting === undefined)
    return commandSettings.has(name) ? [] : [`is given ${name}, which is no setting`];
  // The shared map has what any of them reads; what is a pod's own must be its own.
  if (process !== undefined && value === undefined && settingsOf(process)[name] === undefined)
    return [`is given the secret ${name}, which ${process} does not read`];
  // An address without a login is no secret.
  const shown = value !== undefined && value !== '' && !/^[a-z]+:\/\/[^@/]+$/.test(value);
  return setting.secret && shown ? [`is given ${name} in the open: take it from a Secret`] : [];
}

function missing(given: readonly Given[], { process }: Workload): string[] {
  if (process === undefined) return [];
  const there = new Set(
    given.filter(({ optional, value }) => !optional && value !== '').map(({ name }) => name),
  );
  return requiredOf(process)
    .filter((name) => !there.has(name))
    .map((name) => `is not given ${name}`);
}
