import { publicPaths } from './catalogue.ts';
import { type Workload, workloads } from './policy-pods.ts';
import { type KubeObject, nameOf } from './render.ts';

type Labels = Readonly<Record<string, string>>;

/** What is wrong with the names that objects call each other by. `secrets` are those that docs tell to make. */
export function referenceFaults(
  objects: readonly KubeObject[],
  secrets: ReadonlyMap<string, readonly string[]>,
): string[] {
  const pods = workloads(objects);
  return [
    ...pods.flatMap((pod) => podReferences(pod, objects, secrets).map((fault) => `${pod.name} ${fault}`)),
    ...objects.flatMap((object) =>
      (rules[object.kind]?.(object, objects, pods) ?? []).map((f) => `${nameOf(object)} ${f}`),
    ),
    ...namespaceFaults(objects),
    ...pods.filter(({ process }) => process).flatMap((pod) => unguarded(pod, objects)),
    ...pathFaults(objects),
  ];
}

type Rule = (object: KubeObject, objects: readonly KubeObject[], pods: readonly Workload[]) => string[];

const has = (objects: readonly KubeObject[], kind: string, name: string) =>
  objects.some((one) => one.kind === kind && one.metadata.name === name);

const selected = (labels: Labels | undefined, pods: readonly Workload[]) =>
  pods.filter((pod) => Object.entries(labels ?? {}).every(([name, value]) => pod.labels[name] === value));

function podReferences(
  { pod, container }: Workload,
  objects: readonly KubeObject[],
  secrets: ReadonlyMap<string, readonly string[]>,
): string[] {
  const faults: string[] = [];
  if (!has(objects, 'ServiceAccount', pod.serviceAccountName))
    faults.push(`uses the service account ${pod.serviceAccountName}, which is not there`);
  const secret = (name: string, key?: string) => {
    const keys = secrets.get(name);
    if (keys === undefined) faults.push(`uses the Secret ${name}, which no page tells to make`);
    else if (key !== undefined && !keys.includes(key))
      faults.push(`uses the key ${key} of the Secret ${name}, which no page tells to make`);
  };
  for (const { configMapRef } of container.envFrom ?? [])
    if (configMapRef && !has(objects, 'ConfigMap', configMapRef.name))
      faults.push(`uses the ConfigMap ${configMapRef.name}, which is not there`);
  for (const { valueFrom } of container.env ?? [])
    if (valueFrom?.secretKeyRef) secret(valueFrom.secretKeyRef.name, valueFrom.secretKeyRef.key);
  const volumes = (pod.volumes ?? []) as Record<string, { secretName: string }>[];
  for (const volume of volumes) if (volume.secret) secret(volume.secret.secretName);
  return [...faults, ...mountFaults({ pod, container }, objects)];
}

function mountFaults(
  { pod, container }: Pick<Workload, 'pod' | 'container'>,
  objects: readonly KubeObject[],
): string[] {
  const claims = objects.find(({ spec }) => spec?.template?.spec === pod)?.spec.volumeClaimTemplates ?? [];
  const known = new Set<string>([
    ...(pod.volumes ?? []).map(({ name }: { name: string }) => name),
    ...claims.map(({ metadata }: KubeObject) => metadata.name),
  ]);
  const mounts = (container.volumeMounts ?? []) as { name: string; mountPath: string }[];
  const unknown = mounts
    .filter(({ name }) => !known.has(name))
    .map(({ name }) => `mounts ${name}, which is no volume`);
  const files = ((container.env ?? []) as { name: string; value?: string }[])
    .filter(({ value }) => value?.startsWith('/etc/gatehouse') || value?.startsWith('/var/lib/gatehouse'))
    .filter(({ value = '' }) => !mounts.some(({ mountPath }) => value.startsWith(mountPath)))
    .map(({ name }) => `reads ${name} at a place where nothing is mounted`);
  return [...unknown, ...files];
}

const rules: Readonly<Record<string, Rule>> = {
  Deployment: (object) => selectorFaults(object),
  StatefulSet: (object, objects) => [
    ...selectorFaults(object),
    ...(has(objects, 'Service', object.spec.serviceName)
      ? []
      : [`names the Service ${object.spec.serviceName}, which is not there`]),
  ],
  Service: ({ spec }, _objects, pods) => {
    const behind = selected(spec.selector, pods);
    if (behind.length === 0) return ['leads to no pod'];
    return behind
      .flatMap((pod) =>
        spec.ports.filter(({ targetPort }: { targetPort: string }) => !portNames(pod).includes(targetPort)),
      )
      .map(
        ({ targetPort }: { targetPort: string }) =>
          `leads to port ${targetPort}, which the container does not name`,
      );
  },
  PodDisruptionBudget: ({ spec }, _objects, pods) => {
    const behind = selected(spec.selector.matchLabels, pods);
    if (behind.length !== 1) return ['guards no workload'];
    const replicas = Number(behind[0]?.object.spec.replicas);
    return replicas < 2 || (spec.minAvailable ?? 0) >= replicas ? ['lets no node ever be drained'] : [];
  },
  HorizontalPodAutoscaler: ({ spec }, objects) => {
    const { kind, name } = spec.scaleTargetRef;
    const target = objects.find((one) => one.kind === kind && one.metadata.name === name);
    if (target === undefined) return [`scales ${kind} ${name}, which is not there`];
    if (!(spec.minReplicas >= 2 && spec.maxReplicas > spec.minReplicas))
      return ['has no room, or leaves a single pod'];
    return target.spec.replicas === spec.minReplicas ? [] : ['begins with other replicas than its workload'];
  },
  NetworkPolicy: ({ spec }, _objects, pods) => {
    const peers = [
      ...(spec.ingress ?? []).flatMap((r: Peers) => r.from ?? []),
      ...(spec.egress ?? []).flatMap((r: Peers) => r.to ?? []),
    ];
    const own = peers.filter((peer: Peer) => peer.podSelector && !peer.namespaceSelector);
    return [
      ...(selected(spec.podSelector.matchLabels, pods).length === 0 ? ['is about no pod'] : []),
      ...own
        .filter((peer: Peer) => selected(peer.podSelector?.matchLabels, pods).length === 0)
        .map(() => 'lets in or out a pod that is not there'),
    ];
  },
  Ingress: ({ spec }, objects) => {
    const faults = spec.tls?.length ? [] : ['has no TLS'];
    for (const { host, http } of spec.rules) {
      if (!spec.tls?.some(({ hosts }: { hosts: string[] }) => hosts.includes(host)))
        faults.push(`has no certificate for ${host}`);
      for (const { backend } of http.paths)
        if (!has(objects, 'Service', backend.service.name))
          faults.push(`leads to ${backend.service.name}, which is not there`);
    }
    return faults;
  },
  ServiceMonitor: ({ spec }, objects) => {
    const services = objects.filter(({ kind }) => kind === 'Service');
    const found = services.filter(({ metadata }) =>
      Object.entries(spec.selector.matchLabels as Labels).every(
        ([name, value]) => metadata.labels?.[name] === value,
      ),
    );
    if (found.length !== services.length) return ['leaves out a Service'];
    const ports = new Set(found.flatMap((one) => one.spec.ports.map(({ name }: { name: string }) => name)));
    return spec.endpoints
      .filter(({ port }: { port: string }) => !ports.has(port))
      .map(() => 'scrapes a port that no Service names');
  },
};

interface Peer {
  readonly podSelector?: { readonly matchLabels?: Labels };
  readonly namespaceSelector?: object;
}
interface Peers {
  readonly from?: readonly Peer[];
  readonly to?: readonly Peer[];
}

const portNames = ({ container }: Workload): string[] =>
  (container.ports ?? []).map(({ name }: { name: string }) => name);

function selectorFaults({ spec }: KubeObject): string[] {
  const wanted = Object.entries(spec.selector.matchLabels as Labels);
  const labels = spec.template.metadata.labels as Labels;
  return wanted.every(([name, value]) => labels[name] === value) ? [] : ['does not select its own pods'];
}

/** Deny by default: each service's pods are under a policy for both directions that lets nothing through. */
function unguarded({ name, labels }: Workload, objects: readonly KubeObject[]): string[] {
  const denies = objects.some(
    ({ kind, spec }) =>
      kind === 'NetworkPolicy' &&
      !spec.ingress &&
      !spec.egress &&
      String(spec.policyTypes) === 'Ingress,Egress' &&
      Object.entries((spec.podSelector.matchLabels ?? {}) as Labels).every(
        ([key, value]) => labels[key] === value,
      ),
  );
  return denies ? [] : [`${name} can be reached by whoever likes`];
}

function namespaceFaults(objects: readonly KubeObject[]): string[] {
  const spaces = objects.filter(({ kind }) => kind === 'Namespace').map(({ metadata }) => metadata.name);
  return objects
    .filter(({ kind, metadata }) => kind !== 'Namespace' && !spaces.includes(metadata.namespace ?? ''))
    .map((object) => `${nameOf(object)} lies in ${object.metadata.namespace}, which is not made`);
}

/** What the ingress passes on against what there is, both ways; never metrics, never what is internal. */
function pathFaults(objects: readonly KubeObject[]): string[] {
  const paths = objects
    .filter(({ kind }) => kind === 'Ingress')
    .flatMap(({ spec }) =>
      spec.rules.flatMap((rule: { http: { paths: IngressPath[] } }) => rule.http.paths),
    ) as IngressPath[];
  const passes = (path: string) =>
    paths.find((one) =>
      one.pathType === 'Exact' ? path === one.path : `${path}/`.startsWith(`${one.path.replace(/\/$/, '')}/`),
    );
  const known = publicPaths();
  return [
    ...['/metrics', '/internal/x'].filter(passes).map((path) => `the ingress passes ${path} on`),
    ...known.filter((path) => !passes(path)).map((path) => `the ingress does not pass ${path} on`),
    ...paths
      .filter((one) => !known.some((path) => passes(path) === one))
      .map(({ path }) => `the ingress passes ${path} on, where nothing is`),
  ];
}

interface IngressPath {
  readonly path: string;
  readonly pathType: string;
}
